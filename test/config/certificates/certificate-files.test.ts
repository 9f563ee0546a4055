import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CertificateFiles, type CertificateState } from '../../../src/config/certificates/certificate-files.js';
import { makeCertificate, onePem } from '../../fixtures/certificates.js';
import { eventually } from '../../fixtures/eventually.js';

async function folder(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-certificates-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

function open(t: Test, patterns: readonly string[], fallback?: string) {
  const problems: string[] = [];
  let state: CertificateState | undefined;
  let changes = 0;
  const files = new CertificateFiles(
    { patterns, ...(fallback !== undefined && { fallback }) },
    {
      onChanged: () => void (changes += 1),
      onState: (now) => (state = now),
      onProblem: (file, fault) => void problems.push(`${file.split('/').at(-1)} ${fault}`),
      onError: (error) => t.fail(error.message),
    },
  );
  t.teardown(() => files.close());
  return {
    files,
    problems,
    get state() {
      return state;
    },
    get changes() {
      return changes;
    },
    certOf: async (name: string) => (await files.find(name))?.pair?.cert.trim(),
  };
}

/** At once, as programs do that renew certificates. */
async function put(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

const shop = await makeCertificate(['shop.example', 'www.shop.example']);
const renewed = await makeCertificate(['shop.example'], { days: 90 });
const rsa = await makeCertificate(['shop.example'], { kind: 'rsa', days: 400 });
const wild = await makeCertificate(['*.shop.example', 'WILD.example']);

t.test('a certificate is found by each of its names, whatever its file is called', async (t) => {
  const dir = await folder(t);
  await put(join(dir, 'one.pem'), onePem(shop));
  await put(join(dir, 'two.pem'), onePem(wild));
  const { certOf } = open(t, [join(dir, '*.pem')]);
  for (const name of ['shop.example', 'www.shop.example']) t.equal(await certOf(name), shop.cert.trim(), name);
  t.equal(await certOf('other.shop.example'), wild.cert.trim(), 'a wildcard stands for one label');
  t.equal(await certOf('wild.example'), wild.cert.trim(), 'names have no case');
  for (const name of ['a.b.shop.example', 'example', 'shop', '*.example', '', 'nowhere.example'])
    t.equal(await certOf(name), undefined, `none for ${JSON.stringify(name)}`);
});

t.test('the key is in the file, or beside it under the name that other programs give it', async (t) => {
  const dir = await folder(t);
  await mkdir(join(dir, 'live'));
  await mkdir(join(dir, 'archive'));
  await put(join(dir, 'shop.crt'), shop.cert);
  await put(join(dir, 'shop.key'), shop.key);
  await put(join(dir, 'archive', 'fullchain3.pem'), wild.cert);
  await put(join(dir, 'archive', 'privkey3.pem'), wild.key);
  await symlink('../archive/fullchain3.pem', join(dir, 'live', 'fullchain.pem'));
  await symlink('../archive/privkey3.pem', join(dir, 'live', 'privkey.pem'));
  const { certOf, problems } = open(t, [join(dir, '*.{crt,key}'), join(dir, 'live', '*.pem')]);
  t.equal(await certOf('shop.example'), shop.cert.trim());
  t.equal(await certOf('wild.example'), wild.cert.trim());
  t.same(problems, [], 'key files are no certificates that lack something');
});

t.test(
  'of several certificates for one name the one is used whose key costs least, and of those the one that is valid longest',
  async (t) => {
    const dir = await folder(t);
    for (const [name, pair] of Object.entries({ a: shop, b: renewed, c: rsa }))
      await put(join(dir, `${name}.pem`), onePem(pair));
    const { certOf } = open(t, [join(dir, '*.pem')]);
    t.equal(await certOf('shop.example'), renewed.cert.trim());
  },
);

t.test('a file that changes, comes or goes is seen', async (t) => {
  const dir = await folder(t);
  const path = join(dir, 'shop.pem');
  await put(path, onePem(shop));
  const opened = open(t, [join(dir, '*.pem')]);
  const first = await opened.files.find('shop.example');
  t.same(await opened.files.find('shop.example', first?.id), { id: first?.id }, 'what the asker has is not sent again');
  await eventually(() => opened.state?.isComplete);
  const before = opened.changes;
  t.ok(before > 0, 'what was found before all was looked at may have been second best');
  await put(path, onePem(renewed));
  await eventually(() => opened.changes > before);
  t.equal(await opened.certOf('shop.example'), renewed.cert.trim());
  t.not((await opened.files.find('shop.example'))?.id, first?.id);
  t.equal(await opened.certOf('www.shop.example'), undefined, 'it no longer has that name');
  await put(join(dir, 'wild.pem'), onePem(wild));
  await eventually(async () => (await opened.certOf('wild.example')) !== undefined);
  await rm(path);
  await eventually(async () => (await opened.certOf('shop.example')) === undefined);
});

t.test('a file that becomes unusable keeps what it held, is named, and is taken again when it is sound', async (t) => {
  const dir = await folder(t);
  const cert = join(dir, 'shop.crt');
  await put(cert, shop.cert);
  await put(join(dir, 'shop.key'), shop.key);
  const opened = open(t, [join(dir, '*.crt')]);
  t.equal(await opened.certOf('shop.example'), shop.cert.trim());
  const faults: [string, string, RegExp][] = [
    [cert, 'not a certificate', /shop.crt holds no certificate/],
    [cert, renewed.cert, /shop.crt the key in .*shop.key belongs to another certificate/],
    [cert, onePem(shop).slice(0, 300), /shop.crt holds no certificate/],
  ];
  for (const [path, text, fault] of faults) {
    const before = opened.problems.length;
    await put(path, text);
    await eventually(() => opened.problems.length > before);
    t.match(opened.problems.at(-1), fault);
    t.equal(await opened.certOf('shop.example'), shop.cert.trim(), 'the last sound pair');
    await eventually(() => opened.state?.problems === 1);
  }
  // The key comes after its certificate.
  await put(cert, renewed.cert);
  await put(join(dir, 'shop.key'), renewed.key);
  await eventually(async () => (await opened.certOf('shop.example')) === renewed.cert.trim());
  await eventually(() => opened.state?.problems === 0);
});

t.test('what cannot be used is named with what to do', async (t) => {
  const dir = await folder(t);
  await put(join(dir, 'no-key.crt'), shop.cert);
  await put(join(dir, 'no-place.xyz'), shop.cert);
  await put(join(dir, 'empty.pem'), '');
  await put(
    join(dir, 'locked.pem'),
    `${shop.cert}-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n`,
  );
  await writeFile(join(dir, 'huge.pem'), Buffer.alloc(300 * 1024, 'a'));
  await mkdir(join(dir, 'directory.pem'));
  await put(join(dir, 'chain.pem'), `${onePem(shop)}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`);
  const opened = open(t, [join(dir, '*')]);
  await eventually(() => opened.state?.isComplete);
  await opened.certOf('shop.example');
  const named = (file: string) => opened.problems.filter((problem) => problem.startsWith(file)).join();
  t.match(named('no-key.crt'), /holds no key, and .*no-key\.key is not there/);
  t.match(named('no-place.xyz'), /there is no name for one beside no-place\.xyz/);
  t.match(named('chain.pem'), /cannot be used: .*; is its chain whole\?/);
  t.match(named('empty.pem'), /holds no certificate/);
  t.match(named('locked.pem'), /is it encrypted\?/);
  t.match(named('huge.pem'), /larger than 256 KiB/);
  t.match(named('directory.pem'), /is a directory/);
});

t.test('a folder whose files are all gone, as one that is not mounted, takes nothing out of service', async (t) => {
  const dir = await folder(t);
  const certs = join(dir, 'certs');
  await mkdir(certs);
  await put(join(certs, 'shop.pem'), onePem(shop));
  const opened = open(t, [join(certs, '*.pem')]);
  t.equal(await opened.certOf('shop.example'), shop.cert.trim());
  await rename(certs, join(dir, 'elsewhere'));
  await eventually(() => opened.problems.some((problem) => problem.includes('matches no file now')));
  t.equal(await opened.certOf('shop.example'), shop.cert.trim());
  await rename(join(dir, 'elsewhere'), certs);
  await eventually(() => opened.state?.problems === 0);
  t.equal(await opened.certOf('shop.example'), shop.cert.trim());
});

t.test('the file for clients that name no host needs no names', async (t) => {
  const dir = await folder(t);
  await put(join(dir, 'fallback.pem'), onePem(shop));
  const { certOf } = open(t, [], join(dir, 'fallback.pem'));
  t.equal(await certOf(''), shop.cert.trim());
});

t.test('bytes that are no certificate give no names and break nothing', async (t) => {
  const dir = await folder(t);
  const body = Buffer.from(shop.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const pem = (der: Buffer) =>
    `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n${shop.key}`;
  let at = 0;
  // Each byte of the encoding, set to what is most likely to lead a reader astray.
  for (; at < body.length; at += 1) {
    const bent = Buffer.from(body);
    bent[at] = [0xff, 0x80, 0x84, 0x00][at % 4] as number;
    await writeFile(join(dir, `${at}.pem`), pem(at % 5 === 0 ? body.subarray(0, at) : bent));
  }
  const opened = open(t, [join(dir, '*.pem')]);
  await eventually(() => opened.state?.isComplete);
  t.equal(opened.state?.files, at);
  await opened.certOf('shop.example');
  t.equal(await opened.certOf('nowhere.example'), undefined);
});

t.test(
  'a certificate that the daemon may not read is named',
  { skip: process.geteuid?.() === 0 && 'root may read all' },
  async (t) => {
    const dir = await folder(t);
    await put(join(dir, 'shop.pem'), onePem(shop));
    await chmod(join(dir, 'shop.pem'), 0);
    const opened = open(t, [join(dir, '*.pem')]);
    await eventually(() => opened.problems.some((problem) => problem.includes('permission denied')));
  },
);
