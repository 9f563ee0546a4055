import t from 'tap';
import { lmdbPath, readCmdbUrl } from '../../src/config/cmdb-url.js';

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
