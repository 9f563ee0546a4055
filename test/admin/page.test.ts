import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import type { AdminOptions } from '../../src/admin/admin.js';
import { hashOf } from '../../src/admin/credentials.js';
import type { AppRecord } from '../../src/cmdb/cmdb.js';
import { emptyDeployment } from '../../src/model/deployment.js';
import type { LedgerEvent } from '../../src/model/ledger/event.js';
import { adminToken, fetchAdmin } from '../fixtures/admin.js';
import { adminRecord, cmdbOf, startAdmin } from '../fixtures/admin-server.js';
import { testApp } from '../fixtures/app.js';
import { openTab, startChromium, withoutChromium } from '../fixtures/chromium.js';
import { install, startDaemon } from '../fixtures/daemon.js';
import { testInstance } from '../fixtures/deployment.js';
import { eventually } from '../fixtures/eventually.js';
import { ask } from '../fixtures/request.js';

const violations =
  '(async () => (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`))()';

/** What an app or a client could write to take over the page that shows it. */
const hostile = `"><img src=x onerror="console.log('taken')"><script>console.log('taken')</script>{{7*7}}`;

const app = (name: string, more: Parameters<typeof testApp>[0] = {}) =>
  testApp({ name, domains: [`${name}.example`], ...more });

/** A store of 10,000 apps in the order of their names; each tenth is ready. */
function manyApps(): readonly AppRecord[] {
  return Array.from({ length: 10_000 }, (_, index) => {
    const name = `app-${String(index).padStart(5, '0')}`;
    const labels = { customer: `c${index % 100}` };
    const instances = index % 10 === 0 ? [testInstance({ id: `${name}-1`, lastActiveAt: Date.now() })] : [];
    const deployment = { app: name, instances };
    return { app: app(name, { labels, idleTtlMs: 3_600_000 }), removed: false, version: 'v', deployment };
  });
}

function storeOf(records: readonly AppRecord[], events: readonly LedgerEvent[]): AdminOptions['cmdb'] {
  return {
    ...cmdbOf(adminRecord),
    async *list(_kind, after = '') {
      for (const record of records) if (record.app.name > after) yield record;
    },
    ledger: async ({ after }) => ({ events: after === undefined ? events : [], position: '9-0', gap: false }),
    find: async (query) => ('app' in query ? records.find(({ app: { name } }) => name === query.app) : undefined),
  };
}

const tokens = (['read', 'operate'] as const).map((scope) => ({
  ...{ name: `a-${scope}er`, scope, hash: hashOf(scope), labels: {}, images: [] },
}));

const nodes: AdminOptions['nodes'] = async () => [
  {
    session: { incarnation: 'n1', host: 'here', beats: 1, process: { pid: 4711, startTime: '', bootId: '' } },
    isSilent: false,
  },
];

interface OpenOptions extends BrowserContextOptions {
  readonly token?: string;
  readonly events?: readonly LedgerEvent[];
}

/** The page over a fake store, signed in. */
async function open(t: Test, browser: Browser, records: readonly AppRecord[], more: OpenOptions = {}) {
  const { token = 'operate', events = [], ...options } = more;
  const { address } = await startAdmin(t, { tokens: () => tokens, cmdb: storeOf(records, events), nodes });
  const { page, complaints } = await openTab(t, browser, options);
  await page.goto(`http://${address}/`);
  await signIn(page, token);
  await heading(page, 'Apps');
  return { page, complaints, address };
}

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Token').fill(token);
  await page.keyboard.press('Enter');
}

const heading = (page: Page, name: string) => page.getByRole('heading', { name, exact: true, level: 1 }).waitFor();
const rows = (page: Page) => page.locator('tbody tr');
/** What a click on it would do, in a few words. */
const focused = (page: Page) =>
  page.evaluate(
    `(({ tagName, textContent, name }) => \`\${tagName} \${name || textContent}\`)(document.activeElement)`,
  );

t.test('what makes up the page is its own, and refuses all else', async (t) => {
  const { port } = await startAdmin(t, { tokens: () => tokens });
  for (const path of ['/', '/ui/page.js', '/ui/page.css']) {
    const { status, headers, body } = await ask(port, 'localhost', path);
    t.match({ status, headers }, { status: 200, headers: { 'x-content-type-options': 'nosniff' } }, path);
    const policy = String(headers['content-security-policy']);
    t.match(policy, /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'/);
    t.notMatch(policy, /unsafe|\*|http/);
    t.notMatch(body, /(src|href|url\(|import\()=?["']?(https?:)?\/\//, 'nothing comes from elsewhere');
  }
  t.equal((await ask(port, 'localhost', '/ui/api.js')).status, 401, 'there are no other files');
});

t.test('in a browser', { skip: withoutChromium }, async (t) => {
  const browser = await startChromium(t);

  t.test('the page asks for a token, keeps it for the tab, and forgets it when told to', async (t) => {
    const { address } = await startAdmin(t, { tokens: () => tokens });
    const { page, complaints } = await openTab(t, browser);
    await page.goto(`http://${address}/`);
    await signIn(page, 'wrong');
    await page.getByRole('alert').getByText('not known').waitFor();
    await signIn(page, 'read');
    await page.getByText('a-reader, may read').waitFor();
    await page.reload();
    await heading(page, 'Apps');
    t.same(await page.context().storageState(), { cookies: [], origins: [] }, 'neither a cookie nor lasting storage');
    await page.getByRole('button', { name: 'sign out' }).click();
    await page.getByLabel('Token').waitFor();
    t.equal(await page.evaluate('sessionStorage.length'), 0);
    t.same(complaints, []);
  });

  t.test('10,000 apps are shown by pages, and found by state, label and text', async (t) => {
    const { page, complaints } = await open(t, browser, manyApps());
    await rows(page).nth(49).waitFor();
    t.equal(await rows(page).count(), 50);
    t.match(
      await rows(page).first().innerText(),
      /app-00000\s+app-00000\.example\s+ready\s+in (1h 00m|59m \d\ds)\s+1 ready/,
    );
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.getByRole('link', { name: 'app-00050' }).waitFor();
    t.equal(await rows(page).count(), 50);
    await page.getByLabel('State').selectOption('ready');
    await page.getByRole('link', { name: 'app-00490' }).waitFor();
    await page.getByLabel('Label').fill('customer=c30');
    await page.getByRole('link', { name: 'app-04930' }).waitFor();
    t.equal(await rows(page).count(), 50);
    await page.getByLabel('Name or domain').fill('app-099');
    await page.getByText('1 app.').waitFor();
    t.match(await rows(page).allInnerTexts(), [/^app-09930/]);
    t.ok(Number(await page.evaluate('document.querySelectorAll("*").length')) < 2_000, 'the document stays small');
    // The filter is in the address.
    await page.reload();
    await page.getByText('1 app.').waitFor();
    await page.getByLabel('Name or domain').fill('nobody');
    await page.getByText('No app fits.').waitFor();
    t.same(complaints, []);
  });

  t.test('what apps and clients wrote is shown as text', async (t) => {
    const record: AppRecord = {
      ...adminRecord,
      app: app('shop', { labels: { note: hostile }, env: { GREETING: hostile } }),
      origin: { host: 'here', since: 0, api: { by: 'panel', written: { plan: hostile } } },
      deployment: {
        ...emptyDeployment('shop'),
        breaker: { failures: 2, retryAt: Date.now() + 60_000, code: 'boot_failed', message: `exit code 1: ${hostile}` },
      },
    };
    const request = { host: 'shop.example', method: hostile, path: hostile, agent: 'browser' } as const;
    const events: readonly LedgerEvent[] = [
      { id: '1-0', at: Date.now(), app: 'shop', kind: 'booting', cause: 'request', instance: 'shop-1', request },
      { id: '2-0', at: Date.now(), app: 'shop', kind: 'failed', instance: 'shop-1', message: hostile, output: hostile },
    ];
    const { page, complaints } = await open(t, browser, [record], { events });
    await page.getByText(hostile).first().waitFor();
    await page.getByText('1 boot, 1 failed or crashed').waitFor();
    await page.getByRole('link', { name: 'shop' }).click();
    await page.locator('q', { hasText: `exit code 1: ${hostile}` }).waitFor();
    await page.getByText(`App shop does not boot: exit code 1: ${hostile}`).waitFor();
    const happened = page.getByRole('region', { name: 'What happened' }).getByRole('listitem');
    t.match(await happened.allInnerTexts(), [
      new RegExp('^failed shop-1, "><img .*ago\n.*"><img'),
      /^booting shop-1, for request, "><img/,
    ]);
    await page.getByText('Everything that counts').click();
    await page.goto(`${page.url().split('#')[0]}#app?name=${encodeURIComponent(hostile)}`);
    await heading(page, hostile);
    await page.getByText('There is no app').waitFor();
    t.equal(await page.locator('img, body script').count(), 0);
    t.same(complaints, []);
  });

  t.test('all of it can be reached and seen with the keyboard alone', async (t) => {
    const { page } = await open(t, browser, [adminRecord]);
    await rows(page).first().waitFor();
    t.equal(await focused(page), 'H1 Apps', 'a new screen begins at its heading');
    const reached: unknown[] = [];
    for (let presses = 0; presses < 5; presses += 1) {
      await page.keyboard.press('Tab');
      reached.push(await focused(page));
      t.not(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'none', 'the focus is seen');
    }
    t.same(reached, ['INPUT text', 'INPUT label', 'INPUT plan', 'SELECT state', 'A shop']);
    await page.keyboard.press('Enter');
    await heading(page, 'shop');
    await page.getByRole('button', { name: 'boot' }).waitFor();
    t.equal(await focused(page), 'H1 shop');
    await page.keyboard.press('Tab');
    t.match(await focused(page), 'BUTTON boot');
    await page.goBack();
    await heading(page, 'Apps');
  });

  for (const { colorScheme, width } of [
    { colorScheme: 'light', width: 1_280 },
    { colorScheme: 'dark', width: 360 },
  ] as const)
    t.test(
      `assistive technology finds nothing amiss, ${colorScheme}, and nothing is wider than ${width} pixels`,
      async (t) => {
        const viewport = { width, height: 740 };
        // axe is no script of the page.
        const { page } = await open(t, browser, [adminRecord], { viewport, colorScheme, bypassCSP: true });
        const check = async (screen: string) => {
          await page.evaluate(axe.source);
          t.same(await page.evaluate(violations), [], screen);
          t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, screen);
        };
        await rows(page).first().waitFor();
        await check('apps');
        await page.getByRole('link', { name: 'shop' }).click();
        await page.getByRole('table').waitFor();
        await page.getByText('Everything that counts').click();
        await check('app');
        await page.getByRole('link', { name: 'Nodes' }).click();
        await page.getByText('4711').waitFor({ state: 'attached' });
        await check('nodes');
        await page.getByRole('button', { name: 'sign out' }).click();
        await page.getByLabel('Token').waitFor();
        await check('sign in');
        const colour = String(await page.evaluate('getComputedStyle(document.body).backgroundColor'));
        t.equal(Number(/\d+/.exec(colour)?.[0]) < 128, colorScheme === 'dark', colour);
      },
    );

  t.test('through a tunnel to the socket the page needs no token, and no other page can use it', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-page-'));
    t.teardown(() => rm(dir, { recursive: true, force: true }));
    const path = join(dir, 'admin.sock');
    const heard: string[] = [];
    const cmdb: AdminOptions['cmdb'] = {
      ...storeOf([adminRecord], []),
      async update(app, change) {
        heard.push(app);
        return cmdbOf(adminRecord).update(app, change);
      },
    };
    await startAdmin(t, { listen: { path }, cmdb });
    // As `ssh -L` does it.
    const tunnel = createServer((socket) => {
      const upstream = connect(path);
      socket.pipe(upstream).pipe(socket);
      socket.on('error', () => upstream.destroy());
      upstream.on('error', () => socket.destroy());
    });
    tunnel.listen(0, '127.0.0.1');
    await once(tunnel, 'listening');
    t.teardown(() => tunnel.close());
    const { port } = tunnel.address() as AddressInfo;
    const url = `http://localhost:${port}`;
    const { page } = await openTab(t, browser);
    const stop = (at: string) =>
      page.evaluate(
        `fetch('${at}/v1/apps/shop/stop?wait=false', { method: 'POST', mode: 'no-cors' }).then(() => 'sent')`,
      );
    // A page of another origin, with no policy of its own.
    const evil = createHttpServer((_, response) =>
      response.setHeader('content-type', 'text/html').end('<p>a page</p>'),
    );
    evil.listen(0, '127.0.0.1');
    await once(evil, 'listening');
    t.teardown(() => evil.close());
    await page.goto(`http://evil.localhost:${(evil.address() as AddressInfo).port}/`);
    t.equal(await stop(url), 'sent');
    // DNS rebinding: its own name leads to the tunnel.
    await page.goto(`http://evil.localhost:${port}/`);
    t.equal(await stop(`http://evil.localhost:${port}`), 'sent');
    await page.getByText('answers only to http://localhost').waitFor();
    t.same(heard, []);
    await page.goto(`${url}/#app?name=shop`);
    await page.getByRole('button', { name: 'stop' }).click();
    await eventually(() => heard.includes('shop'));
  });

  t.test('a token that only reads gets no button that would be refused', async (t) => {
    const { page } = await open(t, browser, [adminRecord], { token: 'read' });
    await page.getByRole('link', { name: 'shop' }).click();
    await page.getByRole('table').waitFor();
    t.same(await page.getByRole('button').allInnerTexts(), ['sign out']);
  });

  t.test('buttons act, and the page follows what happens', async (t) => {
    const { admin, http } = await startDaemon(t, await install(t, {}, { hello: {} }));
    const { page, complaints } = await openTab(t, browser);
    await page.goto(`${admin}/#app?name=hello`);
    await signIn(page, adminToken);
    const summary = page.locator('dl');
    await summary.getByText('asleep', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'boot' }).click();
    await page.getByText('boot: done.').waitFor();
    await summary.getByText('App hello is awake since').waitFor();
    await summary.getByText('ready', { exact: true }).waitFor();
    t.match(await rows(page).innerText(), /^hello-\w+\s+ready\s+unused\s+in \d+m \d\ds/);
    await page.getByLabel('Text for visitors').fill('Back at six.');
    await page.getByRole('button', { name: 'set' }).click();
    await page.getByText('maintenance: done.').waitFor();
    await summary.getByText('page', { exact: true }).waitFor();
    const port = Number(new URL(http).port);
    t.match(await ask(port, 'hello.localhost'), { status: 503, body: /Back at six\./ });
    await page.getByLabel('Maintenance').last().selectOption('app');
    await page.getByRole('button', { name: 'set' }).click();
    await page.getByText('maintenance: done.').waitFor();
    await page.getByRole('button', { name: 'stop' }).click();
    await summary.getByText('asleep', { exact: true }).waitFor();
    // What others do is seen as well.
    t.match(await ask(port, 'hello.localhost', '/cart?secret=1'), { status: 200 });
    await page.getByText('for request, GET hello.localhost/cart (none').waitFor();
    await summary.getByText('2 boots').waitFor();
    await page.getByRole('link', { name: 'Apps' }).click();
    await rows(page).getByText('2 boots').waitFor();
    // Only the stream of events leads to this.
    await fetchAdmin(`${admin}/v1/apps/hello/stop`, { method: 'POST' });
    t.match(await ask(port, 'hello.localhost'), { status: 200 });
    await rows(page).getByText('3 boots').waitFor();
    t.same(complaints, []);
  });
});
