import { stat } from 'node:fs/promises';
import { isKeyFile, keyBeside, readNames, readPair } from '../../config/certificates/certificate-file.js';
import type { Config } from '../../config/config.js';
import { glob } from '../../config/glob.js';
import { showFile } from '../../config/path.js';
import type { Findings } from './host-check.js';

/** Whether a key fits its certificate takes milliseconds to find out. */
const mostTried = 2_000;
const mostNamed = 10;
const readableByOthers = 0o004;

/** Whether the certificate files can be used, whether others can read their keys, and which domains have none. */
export async function checkCertificates({ listen, tls, apps, trustedProxies }: Config): Promise<Findings> {
  if (listen.https.length === 0) {
    const sent = trustedProxies.length > 0 ? [] : apps.filter((app) => app.tls.redirect).map(({ name }) => name);
    const warning = `tls.redirect sends clients to HTTPS, and there is neither listen.https nor a trusted proxy: ${list(sent)}`;
    return { problems: [], warnings: sent.length > 0 ? [warning] : [] };
  }
  const { files, unlisted } = glob(tls.certificates, '/').find();
  const found = [...files.filter((file) => !isKeyFile(file)), ...(tls.default === undefined ? [] : [tls.default])];
  const problems = unlisted.map(
    ({ directory, fault }) => `tls.certificates: ${showFile(directory)} cannot be listed: ${fault}`,
  );
  const exposed: string[] = [];
  const names = new Set<string>();
  for (const [index, file] of found.entries()) {
    const read = file === tls.default ? { names: [] } : readNames(file);
    const pair = index < mostTried || file === tls.default ? readPair(file) : undefined;
    if (pair && 'fault' in pair) problems.push(`${showFile(file)} ${pair.fault}`);
    else if ('fault' in read) problems.push(`${showFile(file)} ${read.fault}`);
    else for (const name of read.names) names.add(name);
    if (await isReadableByOthers(file)) exposed.push(showFile(file));
  }
  const isOrdered = (domain: string) =>
    tls.acme !== undefined && (!domain.startsWith('*.') || tls.acme.dns !== undefined);
  const bare = apps
    .flatMap(({ domains }) => domains)
    .filter((domain) => !isCovered(domain, names) && !isOrdered(domain));
  return {
    problems: shortened(problems, 'certificate files cannot be used'),
    warnings: [
      ...(found.length === 0 && tls.certificates.length > 0 ? ['tls.certificates: no file matches'] : []),
      ...(exposed.length > 0
        ? [
            `keys that every user of this host can read: ${list(exposed)}; run: chmod o-r, in their directory or on the files`,
          ]
        : []),
      ...(bare.length > 0 && tls.unknown === 'refuse'
        ? [`domains without a certificate, whose clients are refused over TLS: ${list(bare)}`]
        : []),
    ],
  };
}

/** The key is in the file beside the certificate, if there is one, else in its own. */
async function isReadableByOthers(file: string): Promise<boolean> {
  for (const place of [keyBeside(file), file]) {
    const stats = place === undefined ? undefined : await stat(place).catch(() => undefined);
    if (stats) return (stats.mode & readableByOthers) !== 0;
  }
  return false;
}

function isCovered(domain: string, names: ReadonlySet<string>): boolean {
  return names.has(domain) || names.has(`*${domain.slice(Math.max(0, domain.indexOf('.')))}`);
}

function list(all: readonly string[]): string {
  const more = all.length > mostNamed ? ` and ${all.length - mostNamed} more` : '';
  return `${all.slice(0, mostNamed).join(', ')}${more}`;
}

function shortened(lines: readonly string[], what: string): string[] {
  if (lines.length <= mostNamed) return [...lines];
  return [...lines.slice(0, mostNamed), `${lines.length - mostNamed} more ${what}`];
}
