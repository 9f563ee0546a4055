import { existsSync, lstatSync, readlinkSync } from 'node:fs';

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** What of the host an app with the image `host` sees. */
export interface HostView {
  /** Names in the root directory that are links into /usr. */
  readonly links: readonly string[];
  readonly mounts: readonly OciMount[];
}

const directories = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/** Files of /etc without which usual programs do not run. None of them holds a secret: /etc/ssl, for one, has private keys beside these. */
const settings = [
  ...['alternatives', 'ca-certificates', 'fonts', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'locale.alias'],
  ...['localtime', 'magic', 'mime.types', 'nsswitch.conf', 'perl', 'php', 'protocols', 'python3', 'services'],
  ...['ssl/certs', 'ssl/openssl.cnf', 'timezone'],
];

/** The programs and libraries of this host, with the few files of /etc that they need. */
export function hostView(): HostView {
  const found = directories.filter((name) => existsSync(`/${name}`));
  const isLink = (name: string) => lstatSync(`/${name}`).isSymbolicLink() && readlinkSync(`/${name}`) === `usr/${name}`;
  const links = found.filter(isLink);
  const paths = [
    '/usr',
    ...found.filter((name) => !links.includes(name)).map((name) => `/${name}`),
    ...settings.map((name) => `/etc/${name}`).filter((path) => existsSync(path)),
  ];
  return { links, mounts: paths.map((path) => bind(path, path, 'ro')) };
}

/** A bind mount on which neither setuid programs nor devices work. Of a read-only one, what is mounted below it is not seen. */
export function bind(source: string, destination: string, mode: 'ro' | 'rw'): OciMount {
  const options = mode === 'ro' ? ['bind', 'ro', 'nosuid', 'nodev'] : ['rbind', 'rw', 'nosuid', 'nodev'];
  return { destination, type: 'bind', source, options };
}
