import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { appYaml, makeFiles, mainYaml } from '../config/files.js';
import { follow } from './run.js';

/** `start` with a daemon that only tells what it is asked to do. */
export const script = fileURLToPath(new URL('start-fake-daemon.js', import.meta.url));
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Started with one app; ended after the test. */
export async function started(t: Test, mood = '', env: Record<string, string> = {}) {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  const running = follow([script, files.main, mood], env);
  t.teardown(async () => {
    running.child.kill('SIGKILL');
    await running.ended;
    await files.remove();
  });
  return { files, ...running };
}
