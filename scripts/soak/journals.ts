import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Which instances a request reached, as they noted it themselves before they did anything for it. */
export function carriersOf(journals: string, app: string, trace: string): string[] {
  return readdirSync(journals)
    .filter((instance) => instance.startsWith(`${app}-`))
    .filter((instance) => readFileSync(join(journals, instance), 'utf8').includes(` ${trace}\n`));
}

/** What all journals say together: complaints of the apps, and requests that must not be sent twice and were. */
export function complaintsIn(journals: string): string[] {
  const complaints: string[] = [];
  const posts = new Map<string, string>();
  const oldestFirst = readdirSync(journals).toSorted((a, b) => bornAt(journals, a) - bornAt(journals, b));
  for (const instance of oldestFirst) {
    for (const line of readFileSync(join(journals, instance), 'utf8').split('\n')) {
      const [, at, complaint] = /^! (\d+) (.*)$/.exec(line) ?? [];
      if (at && complaint) complaints.push(`${complaint}, at ${new Date(Number(at)).toISOString()}`);
      if (!line.startsWith('POST ')) continue;
      const before = posts.get(line);
      if (before !== undefined) complaints.push(`${line} was sent to ${before} and to ${instance}`);
      posts.set(line, instance);
    }
  }
  return complaints;
}

function bornAt(journals: string, instance: string): number {
  return statSync(join(journals, instance)).birthtimeMs;
}
