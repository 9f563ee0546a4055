import { createServer, request } from 'node:http';
import t from 'tap';
import { listen } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';

const size = 1024 ** 3;
const chunk = Buffer.alloc(256 * 1024);
const roomBytes = 200 * 1024 * 1024;

/** The largest resident set seen while `work` is under way, beyond what there was before. */
async function growthDuring(work: Promise<unknown>): Promise<number> {
  const before = process.memoryUsage.rss();
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20);
  await work;
  clearInterval(watch);
  return peak - before;
}

t.test('a GiB passes in either direction with flat memory', { timeout: 200_000 }, async (t) => {
  const server = createServer((req, res) => {
    if (req.method === 'POST') {
      let bytes = 0;
      req.on('data', (part: Buffer) => (bytes += part.length));
      req.on('end', () => res.end(String(bytes)));
      return;
    }
    res.writeHead(200, { 'content-length': size });
    let left = size;
    const write = () => {
      while (left > 0) {
        left -= chunk.length;
        if (!res.write(chunk)) return void res.once('drain', write);
      }
      res.end();
    };
    write();
  });
  const relay = await startRelay(t, { upstreamPort: await listen(t, server) });
  const options = { host: '127.0.0.1', port: relay.port, headers: { host: 'a' }, agent: false };

  const down = new Promise<number>((resolve, reject) => {
    const req = request(options, (res) => {
      let bytes = 0;
      res.on('data', (part: Buffer) => (bytes += part.length));
      res.on('end', () => resolve(bytes));
    });
    req.on('error', reject);
    req.end();
  });
  const grownDown = await growthDuring(down);
  t.equal(await down, size);
  t.comment(
    `1 GiB down: memory grew by ${Math.round(grownDown / 1024 / 1024)} MiB (client, relay and app in one process)`,
  );
  t.ok(grownDown < roomBytes);

  for (const headers of [{ 'content-length': String(size) }, { 'transfer-encoding': 'chunked' }]) {
    const up = new Promise<string>((resolve, reject) => {
      const req = request({ ...options, method: 'POST', headers: { host: 'a', ...headers } }, (res) => {
        let body = '';
        res.on('data', (part: Buffer) => (body += part.toString()));
        res.on('end', () => resolve(body));
      });
      req.on('error', reject);
      let left = size;
      const write = () => {
        while (left > 0) {
          left -= chunk.length;
          if (!req.write(chunk)) return void req.once('drain', write);
        }
        req.end();
      };
      write();
    });
    const grownUp = await growthDuring(up);
    t.equal(await up, String(size));
    t.comment(`1 GiB up (${Object.keys(headers)[0]}): memory grew by ${Math.round(grownUp / 1024 / 1024)} MiB`);
    t.ok(grownUp < roomBytes);
  }
  t.equal(relay.seats.open.size, 0);
});
