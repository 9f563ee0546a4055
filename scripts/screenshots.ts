import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { loadConfig } from '../src/config/load-config.js';
import { createDaemon } from '../src/daemon/daemon.js';

// Makes the pictures of docs/page.md in Chromium, of a daemon with a handful of apps: npm run screenshots.

const out = 'docs/images';
const token = 'token-for-screenshots';
const program = `
if (process.env.FAIL) { console.error('cannot connect to db.internal:5432'); process.exit(1); }
require('node:http').createServer((_, res) => res.end('hello')).listen(process.env.PORT, process.env.HOST);
`;

const app = (name: string, customer: string, more: Record<string, unknown> = {}) => ({
  ...{ name, domains: [`${name}.example.org`, `www.${name}.example.org`], labels: { customer } },
  ...{ runtime: 'process', command: [process.execPath, '-e', program], ...more },
});
const apps = [
  app('bakery', 'c1', { idleTtl: '10m' }),
  app('chess-club', 'c2'),
  app('garage', 'c1', { env: { FAIL: 'yes' }, bootTimeout: '20s' }),
  app('newspaper', 'c3', { scale: { min: 1, max: 4 } }),
  app('school', 'c4'),
  app('shop', 'c5', { idleTtl: '30m', maintenance: { mode: 'hold' } }),
  app('theatre', 'c5', { idleTtl: '15m' }),
];

const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-screenshots-'));
try {
  const file = join(dir, 'fastcontainer.yaml');
  const main = {
    listen: { http: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0', token },
    ...{ cmdb: `lmdb:${join(dir, 'cmdb')}`, stateDir: join(dir, 'state'), apps: './apps/*.yaml' },
    runtimes: { process: { ports: '21000-21100', scratchDir: join(dir, 'scratch') } },
    defaults: { user: 'auto' },
  };
  await writeFile(file, stringify(main));
  await mkdir(join(dir, 'apps'));
  for (const each of apps) await writeFile(join(dir, 'apps', `${each.name}.yaml`), stringify(each));
  const config = await loadConfig(file, process.env);
  const daemon = createDaemon({ config, logger: pino({ level: 'silent' }), stopApps: true, version: 'screenshots' });
  try {
    const { http, admin } = await daemon.start();
    for (const name of ['bakery', 'theatre', 'garage']) await visit(Number(http[0]?.split(':').at(-1)), name);
    await picture(`http://${admin}/`);
  } finally {
    await daemon.close();
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}

function visit(port: number, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    request({ port, headers: { host: `${name}.example.org` } }, (res) => res.resume().once('end', resolve))
      .once('error', reject)
      .end();
  });
}

async function picture(url: string): Promise<void> {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    const open = async (colorScheme: 'light' | 'dark', width: number, height: number): Promise<Page> => {
      const page = await browser.newPage({ colorScheme, viewport: { width, height } });
      await page.goto(url);
      await page.getByLabel('Token').fill(token);
      await page.keyboard.press('Enter');
      await page.getByRole('link', { name: 'theatre' }).waitFor();
      return page;
    };
    await mkdir(out, { recursive: true });
    const wide = await open('light', 1_000, 560);
    await wide.getByText('1 boot').first().waitFor();
    await wide.screenshot({ path: join(out, 'page-apps.png') });
    await wide.getByRole('link', { name: 'bakery' }).click();
    await wide.getByText(/after \d+ ms/).waitFor();
    await wide.setViewportSize({ width: 900, height: 640 });
    await wide.screenshot({ path: join(out, 'page-app.png') });
    const phone = await open('dark', 360, 640);
    await phone.screenshot({ path: join(out, 'page-phone.png') });
  } finally {
    await browser.close();
  }
}
