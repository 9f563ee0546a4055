import t from 'tap';
import { trustWarning } from '../../src/config/trust.js';

const app = (name: string, user?: string, runtime: 'process' | 'docker' = 'process') => ({
  ...{ name, runtime },
  ...(user === undefined ? {} : { user }),
});

t.test('apps of one user on one host trust each other', async (t) => {
  t.equal(trustWarning([]), undefined);
  t.equal(trustWarning([app('a', 'www'), app('b', 'www')]), undefined);
  t.equal(trustWarning([app('a', 'auto')]), undefined);
});

t.test('apps of several users that share a host are warned of, and told what the boundary is', async (t) => {
  const pairs = [
    [app('a', 'www'), app('b', 'mail')],
    [app('a', 'www'), app('b')],
    [app('a', 'auto'), app('b', 'auto')],
  ];
  for (const apps of pairs) t.match(trustWarning(apps), /2 apps of 2 users share this host.*a container/);
});

t.test('containers are no concern of each other', async (t) => {
  t.equal(trustWarning([app('a', 'www', 'docker'), app('b', 'mail', 'docker'), app('c', 'www')]), undefined);
});
