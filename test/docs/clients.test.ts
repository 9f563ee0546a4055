import { readFile } from 'node:fs/promises';
import t from 'tap';
import { proxyHeaderNames, proxyHeaderPrefixes } from '../../src/forward/proxy-headers.js';

t.test('docs/clients.md lists the headers that count only from a trusted proxy', async (t) => {
  const page = await readFile('docs/clients.md', 'utf8');
  const listed = (heading: string) => {
    const list = page.slice(page.indexOf(heading) + heading.length).split('\n\n')[0] ?? '';
    return [...list.matchAll(/`([a-z0-9-]+)`/g)].map(([, name]) => name);
  };
  t.same(listed('\nNames:'), proxyHeaderNames);
  t.same(listed('\nEvery name that begins with:'), proxyHeaderPrefixes);
});
