import t from 'tap';
import { lmdbPath, readCmdbUrl, storeWarnings } from '../../src/config/cmdb-url.js';

t.test('the URLs of every kind of store are fine', async (t) => {
  const urls = [
    'lmdb:./data/cmdb',
    'lmdb:/var/lib/cmdb',
    'redis://localhost',
    'redis://localhost:6379/0',
    'redis://[::1]:6379',
    'redis://:secret@10.0.0.7:6379/3',
    'rediss://user:p%40ss@redis.example.org',
    'redis-sentinel://:pw@s1:26379,s2:26379,s3/mymaster/0',
    'redis-cluster://a:7000,b:7000,[::1]:7000',
    'rediss-cluster://a',
    'redis+unix:///run/redis/redis.sock',
    'redis+unix://app:p%2Fw@/run/redis/redis.sock?db=3',
  ];
  for (const url of urls) t.strictSame(readCmdbUrl(url), {}, url);
});

t.test('a socket is named by an absolute path and nothing else', async (t) => {
  for (const url of ['redis+unix://', 'redis+unix://run/redis.sock', 'redis+unix:///', 'redis+unix:///s?db=x']) {
    t.match(readCmdbUrl(url), { fault: /write redis\+unix:\/\/\/run\/redis\/redis\.sock\?db=0/ }, url);
  }
});

t.test('an embedded store has a path, others have none', async (t) => {
  t.equal(lmdbPath('lmdb:./data'), './data');
  t.equal(lmdbPath('redis://h'), undefined);
});

t.test('a Redis without a password, or off loopback without TLS, is warned of', async (t) => {
  const warned = (url: string) =>
    storeWarnings(url).map((warning) => (/without a password/.test(warning) ? 'password' : 'TLS'));
  for (const url of [
    'lmdb:./data',
    'redis+unix:///run/redis.sock',
    'redis://:pw@127.0.0.1:6379/0',
    'redis://:pw@[::1]',
  ])
    t.same(warned(url), [], url);
  t.same(warned('rediss://app:pw@10.0.0.7:6379/0'), []);
  t.same(warned('redis://127.0.0.1:6379/0'), ['password']);
  t.same(warned('redis://app@127.0.0.1'), ['password'], 'a user is no password');
  t.same(warned('redis://:pw@10.0.0.7:6379/0'), ['TLS']);
  t.same(warned('redis-cluster://127.0.0.1:7000,10.0.0.7:7000'), ['password', 'TLS'], 'one of them is enough');
});
