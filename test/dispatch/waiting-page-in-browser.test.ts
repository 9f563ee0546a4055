import t from 'tap';
import { openTab, startChromium, withoutChromium } from '../fixtures/chromium.js';
import { install, startDaemon } from '../fixtures/daemon.js';

t.test('the waiting page in a browser', { skip: withoutChromium }, async (t) => {
  const slow = { waiting: 'page', env: { BOOT_DELAY_MS: '1000' } };
  const apps = {
    ...{ hello: slow, plain: slow },
    broken: { waiting: 'page', env: { EXIT_AT_BOOT: 'no licence' } },
  };
  const [browser, { port }] = await Promise.all([startChromium(t), startDaemon(t, await install(t, {}, apps))]);
  const urlOf = (app: string) => `http://${app}.localhost:${port}/shop?a=b`;

  t.test('enters the app by itself, once, at the same address', async (t) => {
    const { page, complaints } = await openTab(t, browser);
    const loads: string[] = [];
    page.on('response', (response) => {
      if (response.request().isNavigationRequest()) loads.push(`${response.status()} ${response.url()}`);
    });
    await page.goto(urlOf('hello'));
    await page.getByText('This site is starting.').waitFor();
    await page.getByText('"greeting":"hello"').waitFor();
    t.same(loads, [`503 ${urlOf('hello')}`, `200 ${urlOf('hello')}`]);
    t.same(complaints, [], 'its policy allows what it does');
  });

  t.test('enters the app without JavaScript, by loading itself again', async (t) => {
    const { page } = await openTab(t, browser, { javaScriptEnabled: false });
    await page.goto(urlOf('plain'));
    await page.getByText('"greeting":"hello"').waitFor();
    t.equal(page.url(), urlOf('plain'));
  });

  t.test('says that the boot failed, and stays', async (t) => {
    const { page, complaints } = await openTab(t, browser);
    await page.goto(urlOf('broken'));
    await page.getByText('could not be started').waitFor();
    t.notMatch(await page.content(), /no licence/, 'the output of the app is for its operator');
    t.same(complaints, []);
  });
});
