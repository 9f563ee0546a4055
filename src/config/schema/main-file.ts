import { Type, type Static } from '../../model/schema/typebox.js';
import { ipOrCidrFault, subnetFault } from '../cidr.js';
import { readDomain } from '../../model/domain.js';
import { parseListenAddress } from '../listen-address.js';
import { readCmdbUrl } from '../cmdb-url.js';
import { readDockerHost } from '../docker-host.js';
import { readIdRange, readPortRange } from '../range.js';
import {
  choice,
  dictionary,
  duration,
  either,
  flag,
  list,
  number,
  oneOrMore,
  parsedText,
  section,
  size,
  text,
  wholeNumber,
} from '../../model/schema/fields.js';
import { nodeBudget, wakeSection } from '../../model/wake/wake-keys.js';
import { nameExpects, namePattern, sharedSchema } from '../../model/app-keys.js';

const listenExpects = 'HOST:PORT, :PORT or "[IPV6]:PORT"';

const listenAddress = text({
  fault: (written) => (parseListenAddress(written) ? undefined : `must be ${listenExpects}`),
  expects: listenExpects,
  description: 'An address.',
  examples: ['127.0.0.1:8080'],
});

const proxyProtocol = flag({
  description:
    'Connections of `trustedProxies` begin with a header of the PROXY protocol (version 1 or 2), which tells their client; without one they ' +
    'are closed. Those of all others have none.',
  default: false,
  examples: [true],
});

const ofAddress = { description: 'An address, and what connections to it are like.' };
const eitherAddress = {
  description: 'An address.',
  examples: ['127.0.0.1:8080'],
  expects: `${listenExpects}, or a mapping with address`,
} as const;

/** An address as text, or with what else is to be said of it. */
const publicAddress = either(
  [listenAddress, section({ address: listenAddress }, { proxyProtocol }, ofAddress)],
  eitherAddress,
);

const secureAddress = either(
  [
    listenAddress,
    section(
      { address: listenAddress },
      {
        proxyProtocol,
        http2: flag({
          description: 'Clients may choose HTTP/2. See docs/http.md.',
          default: true,
          examples: [false],
        }),
      },
      ofAddress,
    ),
  ],
  eitherAddress,
);

export const cmdbSchema = section(
  {
    url: text({
      secret: true,
      fault: (written) => readCmdbUrl(written).fault,
      expects: 'a URL such as lmdb:./data/cmdb or redis://host:6379/0',
      description:
        'Where the store is: `lmdb:PATH`, `redis://`, `rediss://` (TLS), `redis+unix:///PATH?db=0` (a socket), ' +
        '`redis-sentinel://` or `redis-cluster://`.',
      examples: ['redis://:${REDIS_PASSWORD}@10.0.0.7:6379/0'],
    }),
  },
  {
    name: text({
      pattern: namePattern,
      expects: nameExpects,
      description: 'Name of this installation: the label of its containers and the prefix of its keys.',
      default: 'fastcontainer',
      examples: ['fastcontainer-staging'],
    }),
    caFile: text({
      description: 'PEM file of the authority that signed the certificate of the store.',
      examples: ['/etc/ssl/redis-ca.pem'],
    }),
    signingKey: text({
      secret: true,
      pattern: '^[!-~]{32,}$',
      expects: 'at least 32 visible ASCII characters',
      description:
        'Secret that the records of the store are signed with: a record that was not written with it is reported and not used. ' +
        'Required with `node.advertise`, the same on all machines.',
      defaultText: 'a key of this machine, made once in `stateDir`',
      examples: ['${CMDB_SIGNING_KEY}'],
    }),
  },
  { description: 'The store that dispatchers share.' },
);

const cmdb = either([cmdbSchema.properties.url, cmdbSchema], {
  secret: true,
  description: 'The store that dispatchers share, as a URL or as a mapping.',
  default: 'lmdb:./data/cmdb',
  examples: ['redis://10.0.0.7:6379/0'],
  expects: 'a URL such as lmdb:./data/cmdb or redis://host:6379/0, or a mapping with url',
});

const processRuntime = section(
  {},
  {
    stateDir: text({
      description: 'Records and output of the processes that run.',
      defaultText: '`process` in `stateDir`',
      examples: ['/var/lib/fastcontainer/process'],
    }),
    scratchDir: text({
      description:
        'Where each instance gets a directory of its own for temporary files, pid files and sockets: `TMPDIR` and `FASTCONTAINER_SCRATCH` in ' +
        'its environment, removed with it. The users of apps must be able to enter it; installations may share it.',
      defaultText: '/var/lib/fastcontainer-scratch; `scratch` in `runtimes.process.stateDir` if the daemon is not root',
      examples: ['/srv/scratch'],
    }),
    ports: parsedText(readPortRange, {
      expects: 'a range of ports such as 20000-29999',
      description: 'Ports that are given to processes, the one unused for longest first.',
      default: '20000-29999',
      examples: ['20000-20999'],
    }),
    users: parsedText(readIdRange, {
      expects: 'a range of user numbers such as 1900000000-1900065535',
      description:
        'Users of apps with `user: auto` under a root daemon: each app gets a number of its own (and the group of that number), ' +
        'remembered in `stateDir` and never given to another app. Two installations on one host need ranges of their own.',
      default: '1900000000-1900065535',
      examples: ['300000-365535'],
    }),
    inheritGroups: flag({
      description:
        'Apps of a daemon that is not root have its groups, which it cannot drop. With a group that is as good as root ' +
        '(docker, lxd, disk ...) none is started unless this is `true`.',
      default: false,
      examples: [true],
    }),
    pidNamespace: flag({
      description:
        'Gives apps a pid namespace of their own, so that nothing of them outlives its instance, if the daemon is not root or has no ' +
        'control groups, and the machine allows it. Without root such an app sees files of other users as those of nobody.',
      default: true,
      examples: [false],
    }),
  },
  { description: 'Apps that run as processes of this host.' },
);

const service = text({
  fault: (written) => (isService(written) ? undefined : 'must be a port such as 3306 or 53/udp'),
  expects: 'a port such as 3306 or 53/udp',
  description: 'A port.',
  examples: ['3306'],
});

const dockerRuntime = section(
  {},
  {
    socketPath: text({
      description: 'UNIX socket of the engine. Not together with `host`.',
      defaultText: '/var/run/docker.sock',
      examples: ['/var/run/docker.sock'],
    }),
    host: parsedText(readDockerHost, {
      expects: 'an address such as tcp://10.0.0.5:2376',
      description: 'Address of a remote engine. Needs `caFile`, `certFile` and `keyFile` off loopback.',
      examples: ['tcp://10.0.0.5:2376'],
    }),
    caFile: text({
      description: 'PEM file of the authority that signed the certificate of the engine.',
      examples: ['/etc/fastcontainer/ca.pem'],
    }),
    certFile: text({ description: 'PEM file of our certificate.', examples: ['/etc/fastcontainer/cert.pem'] }),
    keyFile: text({ description: 'PEM file of the key of our certificate.', examples: ['/etc/fastcontainer/key.pem'] }),
    network: text({
      pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$',
      expects: 'a network name of letters, digits, dots, hyphens and underscores',
      description: 'Network of the containers; it is created where it does not exist.',
      default: 'fastcontainer',
      examples: ['fastcontainer'],
    }),
    subnet: text({
      fault: subnetFault(8),
      expects: 'an IPv4 subnet such as 10.210.0.0/16',
      description: 'Subnet of the network when it is created.',
      defaultText: 'a free one',
      examples: ['10.210.0.0/16'],
    }),
    diskSize: size({
      from: '16m',
      to: '64t',
      description:
        'What a container may write to its own file system, if the storage driver can bound it (overlay2 on xfs with pquota, btrfs, zfs); `check` warns if not.',
      default: '10g',
      examples: ['2g'],
    }),
    allowSharedNetwork: flag({
      description:
        'Boot containers also on a network on which they can connect to each other. Only for apps that trust each other.',
      default: false,
      examples: [true],
    }),
    allowHost: list(service, {
      description:
        "Services of the engine's host that containers may use, by the name host.docker.internal; its others are closed to them.",
      expects: 'a list of ports such as [3306, 53/udp]',
      default: [],
      examples: [['3306', '53/udp']],
    }),
    hostRules: choice(['auto', 'off'], {
      description:
        "Packet filter rules that close the engine's host and cloud metadata to containers: put by the daemon if it is root there (else `check` prints them), or the operator's own affair.",
      default: 'auto',
      examples: ['off'],
    }),
  },
  { description: 'Apps that run as containers of Docker Engine.' },
);

const ociRuntime = section(
  {},
  {
    stateDir: text({
      description: 'Records, output and files of the containers that run.',
      defaultText: '`oci` in `stateDir`',
      examples: ['/var/lib/fastcontainer/oci'],
    }),
    program: text({
      description: 'The OCI runtime, by name or path. runc 1.1 is tested.',
      default: 'runc',
      examples: ['/usr/sbin/runc'],
    }),
    pluginDir: text({
      description: 'Directory of the CNI plugins `bridge` and `static`.',
      default: '/usr/lib/cni',
      examples: ['/opt/cni/bin'],
    }),
    bridge: text({
      pattern: '^(?!veth)[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$',
      expects: 'a name of at most 15 letters, digits, dots, hyphens and underscores, not veth...',
      description:
        'Network interface that the containers are connected to; made if it is missing. Each installation needs its own.',
      default: 'fastcontainer0',
      examples: ['fastcontainer1'],
    }),
    subnet: text({
      // Each address of it is kept in memory, and one bridge has 1023 ports.
      fault: subnetFault(16),
      expects: 'an IPv4 subnet such as 10.214.0.0/20',
      description:
        'Addresses of the containers, the one unused for longest first; a freed one rests for a minute. Each installation needs its own.',
      default: '10.214.0.0/20',
      examples: ['10.215.0.0/20'],
    }),
    diskSize: size({
      from: '1m',
      to: '64t',
      description:
        'What an instance may write to its own file system, /tmp and /run. It is kept in memory and counts to `limits.memory`.',
      default: '256m',
      examples: ['64m'],
    }),
    imageSize: size({
      from: '1m',
      to: '1t',
      description: 'Limit of an image that is fetched (docs/oci.md), packed and unpacked; a larger one is refused.',
      default: '10g',
      examples: ['2g'],
    }),
    imagesSize: size({
      from: '0',
      to: '64t',
      description:
        'Fetched images that no container uses are kept for a week, or until they are more than this together.',
      default: '20g',
      examples: ['5g'],
    }),
    sandboxes: wholeNumber({
      minimum: 0,
      maximum: 64,
      description:
        'Networks and file systems that each dispatcher keeps ready for the containers that boot next, each with an address.',
      default: 2,
      examples: [8],
    }),
    allowHost: list(service, {
      description:
        'Services of this host that containers may use, by the name host.docker.internal; its others are closed to them.',
      expects: 'a list of ports such as [3306, 53/udp]',
      default: [],
      examples: [['3306', '53/udp']],
    }),
    hostRules: choice(['auto', 'off'], {
      description:
        'Packet filter rules that close this host, cloud metadata and other containers to a container, and let it out: put by the daemon, ' +
        "which boots nothing without them, or the operator's own affair.",
      default: 'auto',
      examples: ['off'],
    }),
  },
  { description: 'Apps that run as containers made by an OCI runtime on this host (docs/oci.md).' },
);

/** A port with or without its protocol. */
function isService(written: string): boolean {
  const [, port] = /^(\d{1,5})(?:\/(?:tcp|udp))?$/.exec(written) ?? [];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

const appPattern = text({
  expects: 'a pattern such as ./apps/*.yaml',
  description: 'A pattern.',
  examples: ['./apps/*.yaml'],
});

/** What the operator allows customers, be it in files or by API. */
const customerTerms = {
  domains: oneOrMore(
    parsedText(readDomain, {
      expects: 'a host name such as *.example.org',
      description: 'A host name, or a wildcard of one label.',
      examples: ['*.example.org'],
    }),
    {
      description: 'The domains that these apps may have: host names, and with `*.example.org` those one label below.',
      expects: 'a host name such as *.example.org, or a list of them',
      examples: ['*.example.org'],
    },
  ),
  plan: text({ description: 'The plan of these apps.', examples: ['small'] }),
  images: list(
    text({
      pattern: '^[^\\s\\0]+$',
      expects: 'an image such as php or registry.example/customers/',
      description: 'An image.',
      examples: ['registry.example/customers/'],
    }),
    {
      description:
        'Images that these apps may have (docker), each with any tag; one that ends in `/` stands for all below it.',
      expects: 'a list of images such as [registry.example/customers/]',
      default: [],
      examples: [['registry.example/customers/']],
    },
  ),
};

const customerFiles = section(
  {
    path: text({
      expects: 'a pattern such as /srv/*/fastcontainer.yaml',
      description: 'Pattern of files that customers may write. Symbolic links are not followed.',
      examples: ['/srv/*/fastcontainer.yaml'],
    }),
    trust: choice(['customer'], {
      description:
        'No variables of the environment, no keys that concern the host (`user`, `mounts`, `runtime`, `limits` and the like ' +
        'come from `plan` and `defaults`), and no figure above that of the plan.',
      examples: ['customer'],
    }),
    domains: customerTerms.domains,
  },
  {
    plan: customerTerms.plan,
    images: customerTerms.images,
  },
  { description: 'Files that customers write.' },
);

const boot = section(
  {},
  {
    concurrency: wholeNumber({
      minimum: 1,
      maximum: 1000,
      description:
        'Boots at a time on this node; more wait. The first instance of an app goes before further ones of any, which never ' +
        'take the last free place; apps take turns.',
      defaultText: 'twice the number of processor cores',
      examples: [8],
    }),
    maxWaiting: wholeNumber({
      minimum: 1,
      maximum: 1_000_000,
      description:
        'Requests that may wait for a boot or a free place on this node, over all apps; more are refused (`queue_full`). ' +
        'One app alone gets at most half of it.',
      default: 10_000,
      examples: [20_000],
    }),
  },
  { description: 'Starting instances.' },
);

const memory = section(
  {},
  {
    floor: size({
      from: '1m',
      to: '64t',
      description:
        'Memory that is to stay available on this host (or in the control group of the daemon, if that has less). Below it ' +
        'idle instances end before their time, the longest idle first, but not below `scale.min`; a boot that would not leave ' +
        'it beside `limits.memory` of its app (nothing, if that is `unlimited`) waits for `bootTimeout` at most (`boot_failed`).',
      defaultText: 'memory is not watched',
      examples: ['512m'],
    }),
  },
  { description: 'Memory pressure.' },
);

/** The main file. */
const adminToken = section(
  {
    name: text({
      pattern: namePattern,
      expects: nameExpects,
      description: 'Name of the token in the log and in the records of apps.',
      examples: ['panel'],
    }),
    scope: choice(['read', 'operate', 'write'], {
      description:
        'What it is for: `read` sees apps and instances without secrets, `operate` also boots, stops, restarts, drains and says what is in maintenance, `write` also puts and removes apps.',
      examples: ['read'],
    }),
    hash: text({
      pattern: '^sha256:[0-9a-f]{64}$',
      expects: 'sha256: and 64 hexadecimal digits, as fastcontainer token prints it',
      description: 'Hash of the token.',
      examples: [`sha256:${'0'.repeat(64)}`],
    }),
  },
  {
    labels: dictionary(
      { pattern: '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$', expects: 'the name of a label' },
      text({
        pattern: '^[^\\x00-\\x1f\\x7f]{0,200}$',
        expects: 'a value of a label',
        description: 'A value.',
        examples: ['r1'],
      }),
      {
        description:
          'It knows only apps with all these labels, and what it puts gets them. With scope `write` it is bound like files of customers: ' +
          'it needs `domains`, and `plan` and `images` say the rest.',
        default: {},
        examples: [{ reseller: 'r1' }],
      },
    ),
    ...customerTerms,
  },
  { description: 'A token of the admin API.' },
);

/** URL of an authority. */
function acmeDirectory<const Text extends string>(defaultText: Text) {
  return text({
    pattern: '^https://[!-~]+$',
    expects: 'a URL such as https://acme-v02.api.letsencrypt.org/directory',
    description:
      'Orders a certificate when a client first asks for a domain of an app that no file has, at the authority with this directory, whose ' +
      'terms of service are accepted with it. Needs `listen.http` on port 80 of the domain. See docs/tls.md.',
    defaultText,
    examples: ['https://acme-v02.api.letsencrypt.org/directory'],
  });
}

/** What else is to be said of an authority. */
const authorityKeys = {
  caFile: text({
    description:
      'PEM file of what signed the certificate of the directory, for an authority of your own. Relative to the directory of this file.',
    defaultText: 'authorities that Node trusts',
    examples: ['./acme-ca.pem'],
  }),
  eab: section(
    {},
    {
      kid: text({
        pattern: '^[!-~]{1,500}$',
        expects: 'visible ASCII characters',
        description: 'Names the account that the operator has at the authority. Needed with `hmac`.',
        defaultText: 'none',
        examples: ['kid-1'],
      }),
      hmac: text({
        secret: true,
        pattern: '^[A-Za-z0-9_-]{16,}$',
        expects: 'a key in base64url, as the authority gave it',
        description: 'Key of that account. Needed with `kid`.',
        defaultText: 'none',
        examples: ['${ACME_EAB_HMAC}'],
      }),
    },
    {
      description:
        'External account binding, for authorities that want to know who orders. Read when an account is registered.',
    },
  ),
};

export const mainSchema = section(
  {},
  {
    listen: section(
      {},
      {
        http: oneOrMore(publicAddress, {
          description: 'Where requests to apps come in: one address or a list. Port 0 takes any free port.',
          default: '127.0.0.1:8080',
          examples: [[':80', '[::1]:8080'], { address: '10.0.0.5:80', proxyProtocol: true }],
          expects: `${listenExpects}, a mapping with address, or a list of them`,
        }),
        https: oneOrMore(secureAddress, {
          description:
            'Where requests to apps come in over TLS: one address or a list. Needs `tls.certificates`, `tls.default` or `tls.acme`.',
          defaultText: 'none',
          examples: [[':443', '[::1]:8443'], { address: '10.0.0.5:443', proxyProtocol: true, http2: false }],
          expects: `${listenExpects}, a mapping with address, or a list of them`,
        }),
      },
      { description: 'Public addresses.' },
    ),
    tls: section(
      {},
      {
        certificates: oneOrMore(
          text({
            expects: 'a pattern such as ./certs/*.pem',
            description: 'A pattern.',
            examples: ['./certs/*.pem'],
          }),
          {
            description:
              'Certificate files: one or more patterns (`*`, `?`, `**`, `{a,b}`), relative to the directory of this file. A PEM file holds ' +
              'the certificate, its chain, and the key; or the key is beside it (`NAME.crt` with `NAME.key`, `fullchain.pem` with ' +
              '`privkey.pem`). Changes are seen without a restart. See docs/tls.md.',
            defaultText: 'none',
            examples: ['./certs/*.pem', ['/etc/letsencrypt/live/*/fullchain.pem']],
            expects: 'a pattern such as ./certs/*.pem, or a list of patterns',
          },
        ),
        default: text({
          description:
            'Certificate file, as those of `certificates`, for clients that name no host, and with `unknown: default` for those that name ' +
            'one without a certificate. Relative to the directory of this file.',
          defaultText: 'none: such clients are refused',
          examples: ['./certs/fallback.pem'],
        }),
        unknown: choice(['refuse', 'default'], {
          description:
            'What a client gets that names a host without a certificate: the alert `unrecognized_name`, or the certificate of `tls.default`.',
          default: 'refuse',
          examples: ['default'],
        }),
        acme: section(
          {},
          {
            directory: acmeDirectory('none is ordered'),
            key: text({
              secret: true,
              pattern: '^[!-~]{32,}$',
              expects: 'at least 32 visible ASCII characters',
              description:
                'Secret that account, keys and certificates are encrypted with in the CMDB, the same on all machines. Needed with `directory`.',
              defaultText: 'none',
              examples: ['${ACME_STORE_KEY}'],
            }),
            email: text({
              pattern: '^[^\\s@\\0]+@[^\\s@\\0]+$',
              expects: 'an address such as certs@example.org',
              description: 'Where the authority may write to.',
              defaultText: 'none',
              examples: ['certs@example.org'],
            }),
            dns: section(
              {},
              {
                command: list(text({ description: 'A word.', examples: ['/usr/local/bin/dns-hook'] }), {
                  minItems: 1,
                  expects: 'a list of words such as [/usr/local/bin/dns-hook]',
                  description:
                    'Program and arguments that write and remove a TXT record, so that wildcards get certificates (DNS-01). Called without a shell as ' +
                    '`COMMAND... set NAME VALUE` and `COMMAND... unset NAME VALUE`. See docs/tls.md.',
                  defaultText: 'wildcards get none',
                  examples: [['/usr/local/bin/dns-hook']],
                }),
                user: text({
                  description: 'User that it runs as: `NAME`, `UID` or `UID:GID`.',
                  defaultText: "the daemon's own",
                  examples: ['dns-hook'],
                }),
                timeout: duration({
                  from: '1s',
                  to: '2m',
                  description: 'For each call.',
                  default: '1m',
                  examples: ['2m'],
                }),
              },
              { description: 'Proofs of wildcards.' },
            ),
            ...authorityKeys,
            fallback: section(
              {},
              { directory: acmeDirectory('none'), ...authorityKeys },
              { description: 'Another authority, which is asked for what the first does not give.' },
            ),
          },
          { description: 'Certificates that are ordered (ACME).' },
        ),
        handshakeTimeout: duration({
          from: '1s',
          to: '2m',
          description: 'For a TLS handshake to finish.',
          default: '10s',
          examples: ['5s'],
        }),
      },
      { description: 'Certificates of `listen.https`.' },
    ),
    admin: section(
      {},
      {
        listen: text({
          fault: (written) =>
            /^unix:./.test(written) || parseListenAddress(written)
              ? undefined
              : `must be ${listenExpects} or unix:PATH`,
          expects: `${listenExpects} or unix:PATH`,
          description:
            'Where operators and monitoring reach the daemon: a socket that only its own user may open, or an address, which needs a `token` ' +
            'unless it is on loopback and no app shares that.',
          defaultText: '`unix:` and `admin.sock` in `stateDir`',
          examples: ['unix:/run/fastcontainer/admin.sock'],
        }),
        socket: section(
          {},
          {
            mode: choice(['0600', '0660'], {
              description:
                'Who may use the socket without a token: the user of the daemon, or with `0660` also the members of a group. They may do everything, so ' +
                'they are as good as that user.',
              default: '0600',
              examples: ['0660'],
            }),
            group: text({
              pattern: '^([a-z_][a-z0-9_.-]{0,31}|[0-9]{1,9})$',
              expects: 'the name or number of a group',
              description: 'The group of the socket. Needs mode `0660`, and a directory that the group may enter.',
              defaultText: "the daemon's own",
              examples: ['operators'],
            }),
          },
          { description: 'The file of the socket.' },
        ),
        token: text({
          secret: true,
          pattern: '^[!-~]{16,}$',
          expects: 'at least 16 visible ASCII characters',
          description:
            'Bearer token of the admin API. Required with an address off loopback, and with any address if apps run as processes.',
          examples: ['${ADMIN_TOKEN}'],
        }),
        tokens: list(adminToken, {
          expects: 'a list of tokens such as [{ name: panel, scope: write, hash: "sha256:..." }]',
          description:
            'Further tokens of the admin API, by hash; `fastcontainer token NAME` makes one. A change counts at once.',
          default: [],
          examples: [[{ name: 'panel', scope: 'write', hash: `sha256:${'0'.repeat(64)}` }]],
        }),
      },
      { description: 'The admin API.' },
    ),
    cmdb,
    node: section(
      {},
      {
        host: text({
          pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$',
          expects: 'a host name',
          description: 'Name of this machine in the store; unique among the machines that share it.',
          defaultText: 'the host name of the system',
          examples: ['web1'],
        }),
        advertise: text({
          pattern: '^[A-Za-z0-9:]([A-Za-z0-9:._-]{0,251}[A-Za-z0-9:])?$',
          expects: 'an IP address or host name, without a port, such as 10.0.0.5',
          fault: (written) => (/^[^:]*:[^:]*$/.test(written) ? 'must be without a port, such as 10.0.0.5' : undefined),
          description: 'Address at which other machines reach the containers of this one. Several machines need it.',
          examples: ['10.0.0.5'],
        }),
      },
      { description: 'This machine among others.' },
    ),
    workers: either(
      [wholeNumber({ minimum: 1, maximum: 1024, description: '', examples: [1] }), Type.Literal('auto')],
      {
        expects: 'a whole number from 1 to 1024, or auto',
        description:
          'Processes that share the addresses of `listen`. `auto` is one for each processor core; more than 1 adds a ' +
          'supervisor that replaces those that end or stand still.',
        default: 1,
        examples: [1],
      },
    ),
    apps: oneOrMore(
      either([appPattern, customerFiles], {
        expects: 'a pattern such as ./apps/*.yaml, or a mapping with path and trust: customer',
        description: 'A pattern, or a mapping.',
        examples: ['./apps/*.yaml'],
      }),
      {
        description:
          'App files: one or more patterns (`*`, `?`, `**`, `{a,b}`), relative to the directory of this file. They decide ' +
          'what runs as which user, with the secrets of the daemon: files that customers write go into a mapping with ' +
          '`trust: customer`.',
        default: './apps/*.yaml',
        examples: [['./apps/*.yaml', './more/**/*.yaml']],
        expects: 'a pattern such as ./apps/*.yaml, a mapping with path and trust: customer, or a list of these',
      },
    ),
    mounts: section(
      {},
      {
        roots: list(
          text({
            pattern: '^/[^\\0]*$',
            expects: 'an absolute path',
            description: 'A directory.',
            examples: ['/srv'],
          }),
          {
            description:
              "Directories of the host in which the sources of apps' mounts have to be. The system's own (/etc, /usr, the engine's socket …) and the daemon's may be mounted only if they are listed here exactly.",
            expects: 'a list of absolute paths such as [/srv]',
            defaultText: "any but the system's own and the daemon's",
            examples: [['/srv']],
          },
        ),
      },
      { description: "What apps may have of the host's files." },
    ),
    maxRemovals: wholeNumber({
      minimum: 0,
      maximum: 1_000_000,
      description:
        'Apps that may be removed within an hour because no file has them now. More stay as they are, and /readyz, log and metrics ' +
        'say so: a directory that is not mounted looks like one whose apps were deleted.',
      defaultText: '5 or a tenth, whichever is more, and never all of one directory',
      examples: [40],
    }),
    stateDir: text({
      description: 'What the daemon itself keeps on disk. Relative to its working directory.',
      default: './data',
      examples: ['/var/lib/fastcontainer'],
    }),
    defaults: Type.Unsafe<Static<typeof sharedSchema>>({
      ...sharedSchema,
      description: 'For every app that says nothing itself and whose plan says nothing.',
    }),
    plans: dictionary({ pattern: namePattern, expects: nameExpects }, sharedSchema, {
      description: 'Named sets of the same keys; an app takes one with `plan: NAME`.',
      examples: [{ small: { idleTtl: '5m', limits: { memory: '128m', cpus: 0.25 } } }],
    }),
    runtimes: section(
      {},
      { process: processRuntime, docker: dockerRuntime, oci: ociRuntime },
      { description: 'What runs apps.' },
    ),
    http: section(
      {},
      {
        maxHeaderSize: size({
          from: '1k',
          to: '1m',
          description: 'Request line and headers; more is refused (`headers_too_large`).',
          default: '16k',
          examples: ['32k'],
        }),
        maxHeaderLines: wholeNumber({
          minimum: 16,
          maximum: 900,
          description:
            'Header lines of a request; more are refused (`headers_too_large`). Many servers silently drop lines beyond 1,000, and some are added here.',
          default: 500,
          examples: [100],
        }),
        maxUrlSize: size({
          from: '256b',
          to: '1m',
          description:
            'Path and query of a request; longer ones are refused (`uri_too_long`). `maxHeaderSize` bounds them too.',
          default: '8k',
          examples: ['2k'],
        }),
        maxConnectionAge: duration({
          from: '1s',
          to: '24d',
          description:
            'A client connection this old ends with its next answer, so that clients spread over workers and machines anew. Streams and WebSockets are not cut by it.',
          default: '1h',
          examples: ['10m'],
        }),
        headersTimeout: duration({
          from: '1s',
          to: '1h',
          description: 'For the headers of a request to arrive.',
          default: '60s',
          examples: ['30s'],
        }),
        keepAliveTimeout: duration({
          from: '1s',
          to: '1h',
          description: 'How long a client connection may stay open without a request.',
          default: '75s',
          examples: ['2m'],
        }),
        requestBodyIdleTimeout: duration({
          from: '1s',
          to: '1h',
          description: 'How long a request body may pause.',
          default: '60s',
          examples: ['30s'],
        }),
        requestBodyMinRate: size({
          from: '0b',
          to: '1g',
          description:
            'Bytes per second that a request body has to bring, on average over each `requestBodyIdleTimeout` in which the app would read; a slower one is refused (`request_timeout`).',
          default: '500b',
          examples: ['0b'],
        }),
        responseStallTimeout: duration({
          from: '1s',
          to: '1h',
          description:
            'How long a client may take nothing of what there is to send to it; then its connection is closed. A stream on which nothing has to be sent is not stalled.',
          default: '60s',
          examples: ['2m'],
        }),
        maxConnections: wholeNumber({
          minimum: 1,
          maximum: 1_000_000,
          description:
            'Client connections at a time; for one more, one without a request is closed. At most what the descriptor limit of the process allows.',
          default: 20_000,
          examples: [50_000],
        }),
        maxConnectionsPerClient: wholeNumber({
          minimum: 1,
          maximum: 1_000_000,
          description:
            'The same for one client: an IPv4 address or an IPv6 /64. At most half of `maxConnections`; trusted proxies are exempt.',
          default: 1_000,
          examples: [200],
        }),
        serverTiming: flag({
          description: 'Tell clients with `Server-Timing` how long the phases of a cold request took.',
          default: true,
          examples: [false],
        }),
      },
      { description: 'Limits towards clients.' },
    ),
    trustedProxies: list(
      text({
        fault: ipOrCidrFault,
        expects: 'an IP address or subnet such as 10.0.0.0/8',
        description: 'An address or subnet.',
        examples: ['10.0.0.0/8'],
      }),
      {
        description: 'Proxies in front of the daemon whose Forwarded and X-Forwarded-* headers are believed.',
        expects: 'a list of IP addresses and subnets such as [10.0.0.0/8]',
        default: [],
        examples: [['10.0.0.0/8', '::1']],
      },
    ),
    wake: section(
      {},
      {
        ...wakeSection.properties,
        budget: section(
          {},
          { ...nodeBudget, ...wakeSection.properties.budget.properties },
          { description: 'How often apps may be woken. Each of several `workers` has its part.' },
        ),
      },
      {
        description:
          'Who wakes apps, and who keeps them awake (docs/wake.md). `rules`, `asleep` and `budget.perApp` are for every app that says nothing itself and whose plan and `defaults` say nothing.',
      },
    ),
    boot,
    memory,
    log: section(
      {},
      {
        level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
          description: 'Least severe level that is written. The environment variable LOG_LEVEL wins over it.',
          default: 'info',
          examples: ['debug'],
        }),
      },
      { description: 'The log.' },
    ),
    usage: section(
      {},
      {
        keep: duration({
          from: '1d',
          to: '400d',
          description: 'How long the store keeps what apps used, in whole days. See docs/usage.md.',
          default: '62d',
          examples: ['366d'],
        }),
      },
      { description: 'What apps used, by app and day.' },
    ),
    accessLog: section(
      {},
      {
        file: text({
          description:
            'Where each request gets a line: a file, which logrotate may move away without a signal, or `stdout`. Absent: requests are not logged. ' +
            'See docs/operations.md.',
          defaultText: 'none',
          examples: ['/var/log/fastcontainer/access.log'],
        }),
        format: choice(['json', 'combined'], {
          description:
            '`json` tells everything; `combined` is the format of Apache and nginx, with the domain in front.',
          default: 'json',
          examples: ['combined'],
        }),
        sample: number({
          minimum: 0,
          maximum: 1,
          description: 'Share of the requests that get a line. Cold ones, and those that failed (5xx), always do.',
          default: 1,
          examples: [0.01],
        }),
        redact: list(
          choice(['query', 'client', 'userAgent', 'referer'], { description: 'A part.', examples: ['client'] }),
          {
            maxItems: 4,
            expects: 'a list of query, client, userAgent and referer',
            description:
              'What is left out: the `query` of URLs, which often has secrets, the host part of the `client` address, `userAgent`, `referer`.',
            default: ['query'],
            examples: [['query', 'client']],
          },
        ),
      },
      { description: 'The access log.' },
    ),
  },
  { description: 'The main file, such as config/fastcontainer.yaml.' },
);

export type MainFile = Static<typeof mainSchema>;
