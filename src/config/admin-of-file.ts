import type { Document } from '../libraries/yaml.js';
import { type Environment, interpolate } from './interpolate.js';
import { adminAddress, defaultAdmin, type ListenAddress, type ListenSocket } from './listen-address.js';
import { formatPath, showFile } from './path.js';
import { ConfigError, problemAt } from './problem.js';
import { readText } from './reader/read-text.js';
import { mainSchema } from './schema/main-file.js';
import { operatorBounds, parseYaml } from './yaml-file.js';

export interface AdminOfFile {
  readonly listen: ListenAddress | ListenSocket;
  readonly token?: string;
}

/**
 * Where a main file has the admin side. Looks at nothing else in it: variables of the rest may be the daemon's only. Throws a
 * ConfigError.
 */
export function adminOfFile(file: string, env: Environment): AdminOfFile {
  const shown = showFile(file);
  const fail = (line: number, path: string, message: string) =>
    new ConfigError([problemAt(shown, line, path, message)]);
  const reading = readText(file, { mostBytes: 1024 ** 2 });
  if (!reading) throw fail(1, '', 'does not exist; name the main file with --config FILE');
  if ('fault' in reading) throw fail(1, '', reading.fault);
  const { documents, faults } = parseYaml(reading.text, operatorBounds);
  const [fault] = faults;
  if (fault) throw fail(fault.line, '', fault.message);
  const [main] = documents;
  const textAt = (path: readonly string[]): string | undefined => {
    const written = main && scalarAt(main.document, path);
    const { text, faults: missing } = interpolate(written ?? '', env);
    if (missing[0] !== undefined) throw fail(main?.lineOf(path) ?? 1, formatPath(path), missing[0]);
    return written === undefined ? undefined : text;
  };
  const stateDir = textAt(['stateDir']) ?? mainSchema.properties.stateDir.default;
  const listen = adminAddress(textAt(['admin', 'listen']) ?? defaultAdmin(stateDir));
  if (!listen) throw fail(main?.lineOf(['admin', 'listen']) ?? 1, 'admin.listen', 'is no address and no unix:PATH');
  const token = interpolate((main && scalarAt(main.document, ['admin', 'token'])) ?? '', env);
  return { listen, ...(token.text !== '' && token.faults.length === 0 && { token: token.text }) };
}

function scalarAt(document: Document, path: readonly string[]): string | undefined {
  const found = document.getIn(path);
  return typeof found === 'string' && found !== '' ? found : undefined;
}
