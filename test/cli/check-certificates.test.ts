import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { checkCertificates } from '../../src/cli/host-checks/certificates.js';
import { loadConfig } from '../../src/config/load-config.js';
import { makeCertificate, onePem } from '../fixtures/certificates.js';
import { install } from '../fixtures/daemon.js';

t.test(
  'certificate files that cannot be used, keys that others can read and domains without one are named',
  async (t) => {
    const main = {
      listen: { http: '127.0.0.1:0', https: '127.0.0.1:0' },
      tls: { certificates: './certs/*.{pem,crt}' },
    };
    const installation = await install(t, main, { hello: {}, bare: {}, wild: { domains: ['a.wild.localhost'] } });
    const certs = join(installation.dir, 'certs');
    await mkdir(certs);
    const pair = await makeCertificate(['hello.localhost', '*.wild.localhost']);
    const check = async () => checkCertificates(await loadConfig(installation.file, process.env));
    t.match((await check()).warnings, [/no file matches/, /without a certificate.*hello\.localhost/]);
    await writeFile(join(certs, 'hello.pem'), onePem(pair), { mode: 0o600 });
    t.same((await check()).problems, []);
    t.match((await check()).warnings, [/^domains without a certificate, .*: bare\.localhost$/]);
    await writeFile(join(certs, 'other.crt'), pair.cert);
    await writeFile(join(certs, 'other.key'), (await makeCertificate(['hello.localhost'])).key, { mode: 0o640 });
    t.match((await check()).problems, [/other\.crt the key in .*other\.key belongs to another certificate/]);
    await chmod(join(certs, 'hello.pem'), 0o644);
    t.match((await check()).warnings, [/keys that every user of this host can read: .*hello\.pem; run: chmod/, /bare/]);
  },
);

t.test(
  'apps that send clients to HTTPS are named if neither the daemon nor a proxy before it speaks that',
  async (t) => {
    const check = async (main: Record<string, unknown>) => {
      const installation = await install(t, main, { hello: { tls: { redirect: true } }, plain: {} });
      return (await checkCertificates(await loadConfig(installation.file, process.env))).warnings;
    };
    t.match(await check({}), [/^tls\.redirect sends clients to HTTPS.*: hello$/]);
    t.same(await check({ trustedProxies: ['192.0.2.7'] }), []);
  },
);
