import t from 'tap';
import { readAutocannon, readWrk } from '../../bench/load-result.js';

const good = `Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.42ms    4.66ms  57.48ms   95.41%
    Req/Sec    10.60k     1.73k   13.07k    75.00%
  Latency Distribution
     50%  812.00us
     75%    5.94ms
     90%    8.04ms
     99%    1.02s
  21138 requests in 2.00s, 3.33MB read
Requests/sec:  10567.42
Transfer/sec:      1.66MB
`;

t.test('wrk is read with its units', async (t) => {
  const expected = { requests: 21_138, perSecond: 10_567.42, p50Ms: 0.812, p99Ms: 1_020, refused: 0, errors: 0 };
  t.same(readWrk(good), expected);
});

t.test('errors and refusals that wrk mentions are counted', async (t) => {
  const bad = good.replace(
    'Requests/sec',
    '  Socket errors: connect 1, read 20, write 0, timeout 3\n  Non-2xx or 3xx responses: 17\nRequests/sec',
  );
  t.match(readWrk(bad), { errors: 24, refused: 17 });
});

t.test('something else than a result is an error that shows it', async (t) => {
  t.throws(() => readWrk('unable to connect to 127.0.0.1:1 Connection refused\n'), /Connection refused/);
  t.throws(() => readAutocannon('Running 10s test'), SyntaxError);
});

t.test('autocannon is read', async (t) => {
  const result = {
    requests: { average: 900.5, total: 1_801 },
    latency: { p50: 1, p99: 9 },
    non2xx: 2,
    errors: 3,
    timeouts: 1,
  };
  const expected = { requests: 1_801, perSecond: 900.5, p50Ms: 1, p99Ms: 9, refused: 2, errors: 3 };
  t.same(readAutocannon(JSON.stringify(result)), expected);
});
