import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { completion, shells } from '../../src/cli/completion.js';
import { createProgram } from '../../src/cli/program.js';

const program = createProgram(() => {});
const run = promisify(execFile);

/** What a real bash offers for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const script = `${completion(program, 'bash')}
    COMP_WORDS=(fastcontainer "$@"); COMP_CWORD=$#; _fastcontainer; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run('bash', ['--norc', '-uc', script, 'bash', ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

t.test('bash completes commands, their options and the values of these', async (t) => {
  t.same(await offered('inst'), ['instances']);
  t.ok((await offered('')).includes('completion'));
  t.same(await offered('apps', '--st'), ['--state']);
  t.same(await offered('apps', '--state', 'a'), ['asleep']);
  t.same(await offered('token', 'panel', '--scope', 'w'), ['write']);
  t.same(await offered('completion', 'f'), ['fish']);
  t.same(await offered('help', 'ru'), []);
  t.same(await offered('put', ''), [], 'files, which bash completes itself');
  t.same(await offered('put', '--token-file', ''), []);
});

t.test('every command and every option is in the completion of each shell', async (t) => {
  for (const shell of shells) {
    const text = completion(program, shell);
    for (const command of program.commands) {
      t.ok(text.includes(command.name()), `${shell}: ${command.name()}`);
      for (const { long = '' } of command.options)
        t.ok(text.includes(shell === 'fish' ? `-l ${long.slice(2)}` : long), `${shell}: ${command.name()} ${long}`);
    }
  }
});
