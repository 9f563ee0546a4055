import { isIPv4, isIPv6 } from 'node:net';

/** What the containers of a bridge may reach on the host. */
export interface EgressPlan {
  /** Interface of the containers' network on the engine's host; matches `safeInterface`. */
  readonly bridge: string;
  /** Services of the host that they may reach, such as `3306` (TCP) or `53/udp`. */
  readonly allowHost: readonly string[];
  /** From /etc/resolv.conf: containers may ask these, even if one is the host itself or the metadata address. */
  readonly nameservers: readonly string[];
  /**
   * IPv4 subnet of a bridge that no engine looks after: the rules also let its packets out under the host's address, and nothing in but
   * the answers.
   */
  readonly ownSubnet?: string | undefined;
}

/**
 * Addresses at which clouds hand out the machine's credentials: all link-local ones, and those of Azure, Alibaba and Oracle that are
 * not.
 */
const metadata = {
  iptables: ['169.254.0.0/16', '168.63.129.16/32', '100.100.100.200/32', '192.0.0.192/32'],
  ip6tables: ['fe80::/10', 'fd00:ec2::254/128', 'fd20:ce::254/128'],
};

/** Interface names that are safe in a command. */
export const safeInterface = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/;

/** The script with which a root shell on the engine's host installs the rules; harmless if run again. */
export function egressScript(plan: EgressPlan, tables: 'iptables' | 'ip6tables'): string {
  const { bridge, ownSubnet } = plan;
  const [host, out, back, nat] = ['host', 'out', 'in', 'nat'].map((name) => `FC-${bridge}-${name}`);
  // Docker runs the operator's rules first from its chain DOCKER-USER, if it has one for this protocol.
  const forward = `$(${tables} -w 5 -n -L DOCKER-USER >/dev/null 2>&1 && echo DOCKER-USER || echo FORWARD)`;
  const isOwn = ownSubnet !== undefined;
  const chains = [host, out, ...(isOwn ? [back] : [])].map((chain) => `:${chain} - [0:0]`);
  const rules = [
    ...hostRules(plan, tables, host ?? ''),
    ...outRules(plan, tables, out ?? ''),
    ...(isOwn ? [`-A ${back} ${answers} -j ACCEPT`, `-A ${back} -j REJECT`] : []),
  ];
  const translates = isOwn && tables === 'iptables';
  const translation = [`:${nat} - [0:0]`, `-A ${nat} -s ${ownSubnet} ! -o ${bridge} -j MASQUERADE`];
  return [
    'set -e',
    // One transaction replaces both chains, so that nothing is open meanwhile.
    `${tables}-restore -w 5 --noflush <<'END'`,
    ...['*filter', ...chains, ...rules, 'COMMIT'],
    ...(translates ? ['*nat', ...translation, 'COMMIT'] : []),
    'END',
    `forward=${forward}`,
    jump(tables, `INPUT -i ${bridge} -j ${host}`),
    jump(tables, `"$forward" -i ${bridge} -j ${out}`),
    ...(isOwn ? [jump(tables, `"$forward" -o ${bridge} -j ${back}`)] : []),
    ...(translates ? [jump(`${tables} -t nat`, `POSTROUTING -s ${ownSubnet} -j ${nat}`)] : []),
    '',
  ].join('\n');
}

/** Rules for packets from a container to the host itself. */
function hostRules({ allowHost, nameservers }: EgressPlan, tables: string, chain: string): string[] {
  const allowed = allowHost.map((service) => {
    const [port = '', protocol = 'tcp'] = service.split('/');
    return `-p ${protocol} --dport ${Number(port)} -j RETURN`;
  });
  // Neighbour discovery, which IPv6 needs (RFC 4861).
  const discovery = [133, 134, 135, 136].map((type) => `-p ipv6-icmp --icmpv6-type ${type} -j RETURN`);
  return [
    `${answers} -j RETURN`,
    ...(tables === 'ip6tables' ? discovery : []),
    ...lookups(nameservers, tables, 'RETURN'),
    ...allowed,
    '-j REJECT',
  ].map((rule) => `-A ${chain} ${rule}`);
}

/** Rules for packets from a container to anywhere else: neither its neighbours on the bridge, nor the machine's credentials. */
function outRules(
  { bridge, nameservers, ownSubnet }: EgressPlan,
  tables: keyof typeof metadata,
  chain: string,
): string[] {
  // On a bridge of our own the last word is ours, as a host that forwards nothing by itself would drop it.
  const pass = ownSubnet === undefined ? 'RETURN' : 'ACCEPT';
  return [
    `${answers} -j ${pass}`,
    ...lookups(nameservers, tables, pass),
    `-o ${bridge} -j REJECT`,
    ...metadata[tables].map((addresses) => `-d ${addresses} -j REJECT`),
    ...(ownSubnet === undefined ? [] : ['-j ACCEPT']),
  ].map((rule) => `-A ${chain} ${rule}`);
}

/** Packets of connections that the host or the outside began. */
const answers = '-m conntrack --ctstate ESTABLISHED,RELATED';

function lookups(nameservers: readonly string[], tables: string, verdict: string): string[] {
  return nameservers
    .filter(tables === 'ip6tables' ? isIPv6 : isIPv4)
    .flatMap((address) => ['udp', 'tcp'].map((protocol) => `-d ${address} -p ${protocol} --dport 53 -j ${verdict}`));
}

/** Puts a rule first in its chain, unless it is there. */
function jump(tables: string, rule: string): string {
  return `${tables} -w 5 -C ${rule} 2>/dev/null || ${tables} -w 5 -I ${rule}`;
}

/** Nameservers in files like /etc/resolv.conf, without loopback addresses, which no container can ask. */
export function nameserversIn(text: string): string[] {
  const found = text.split('\n').flatMap((line) => /^\s*nameserver\s+([0-9a-fA-F:.]+)\s*$/.exec(line)?.[1] ?? []);
  return [...new Set(found)].filter(
    (address) => (isIPv4(address) && !address.startsWith('127.')) || (isIPv6(address) && address !== '::1'),
  );
}
