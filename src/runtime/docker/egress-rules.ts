import { isIPv4, isIPv6 } from 'node:net';

/** What containers of a bridge may reach of the host. */
export interface EgressPlan {
  /** The interface of the containers' network on the engine's host; a name that is safe. */
  readonly bridge: string;
  /** Services of the host that they may use, such as `3306` (TCP) or `53/udp`. */
  readonly allowHost: readonly string[];
  /** Of /etc/resolv.conf: a container's look-ups go there, be it the host itself or the metadata address. */
  readonly nameservers: readonly string[];
}

/**
 * Where clouds answer whoever asks with the machine's credentials: all link-local addresses, and those of Azure,
 * Alibaba and Oracle that are not.
 */
const metadata = {
  iptables: ['169.254.0.0/16', '168.63.129.16/32', '100.100.100.200/32', '192.0.0.192/32'],
  ip6tables: ['fe80::/10', 'fd00:ec2::254/128', 'fd20:ce::254/128'],
};

/** What an interface's name is made of that may stand in a command. */
export const safeInterface = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/;

/** What a shell of root runs on the engine's host to close the way there; harmless when run again. */
export function egressScript(plan: EgressPlan, tables: 'iptables' | 'ip6tables'): string {
  const { bridge } = plan;
  const [host, out] = [`FC-${bridge}-host`, `FC-${bridge}-out`];
  // Docker runs what the operator wants first from its own chain, if it has one for this protocol.
  const forward = `$(${tables} -w 5 -n -L DOCKER-USER >/dev/null 2>&1 && echo DOCKER-USER || echo FORWARD)`;
  const rules = [...hostRules(plan, tables, host), ...outRules(plan, tables, out)];
  return [
    'set -e',
    // One transaction: what was in the two chains is replaced, and nothing is open meanwhile.
    `${tables}-restore -w 5 --noflush <<'END'`,
    ...['*filter', `:${host} - [0:0]`, `:${out} - [0:0]`, ...rules, 'COMMIT', 'END'],
    `forward=${forward}`,
    jump(tables, 'INPUT', bridge, host),
    jump(tables, '"$forward"', bridge, out),
    '',
  ].join('\n');
}

/** What comes from a container for the host itself. */
function hostRules({ allowHost, nameservers }: EgressPlan, tables: string, chain: string): string[] {
  const allowed = allowHost.map((service) => {
    const [port = '', protocol = 'tcp'] = service.split('/');
    return `-p ${protocol} --dport ${Number(port)} -j RETURN`;
  });
  // How a neighbour on the wire is found in IPv6 at all (RFC 4861).
  const discovery = [133, 134, 135, 136].map((type) => `-p ipv6-icmp --icmpv6-type ${type} -j RETURN`);
  return [
    answers,
    ...(tables === 'ip6tables' ? discovery : []),
    ...lookups(nameservers, tables),
    ...allowed,
    '-j REJECT',
  ].map((rule) => `-A ${chain} ${rule}`);
}

/** What comes from a container for somewhere else: not its neighbours on the bridge, nor the machine's credentials. */
function outRules({ bridge, nameservers }: EgressPlan, tables: keyof typeof metadata, chain: string): string[] {
  return [
    answers,
    ...lookups(nameservers, tables),
    `-o ${bridge} -j REJECT`,
    ...metadata[tables].map((subnet) => `-d ${subnet} -j REJECT`),
  ].map((rule) => `-A ${chain} ${rule}`);
}

/** Of connections that the host, or the world, began. */
const answers = '-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN';

function lookups(nameservers: readonly string[], tables: string): string[] {
  return nameservers
    .filter(tables === 'ip6tables' ? isIPv6 : isIPv4)
    .flatMap((address) => ['udp', 'tcp'].map((protocol) => `-d ${address} -p ${protocol} --dport 53 -j RETURN`));
}

function jump(tables: string, from: string, bridge: string, to: string): string {
  const rule = `${from} -i ${bridge} -j ${to}`;
  return `${tables} -w 5 -C ${rule} 2>/dev/null || ${tables} -w 5 -I ${rule}`;
}

/** Addresses of the nameservers in files like /etc/resolv.conf, without those of the loopback, which no container asks. */
export function nameserversIn(text: string): string[] {
  const found = text.split('\n').flatMap((line) => /^\s*nameserver\s+([0-9a-fA-F:.]+)\s*$/.exec(line)?.[1] ?? []);
  return [...new Set(found)].filter(
    (address) => (isIPv4(address) && !address.startsWith('127.')) || (isIPv6(address) && address !== '::1'),
  );
}
