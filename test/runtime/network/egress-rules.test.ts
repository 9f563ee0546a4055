import t from 'tap';
import { egressScript } from '../../../src/runtime/network/egress-rules.js';

const plan = { bridge: 'fc0', allowHost: ['3306'], nameservers: ['9.9.9.9'] };

t.test('a bridge of our own is let out under the address of the host, and in only with answers', async (t) => {
  const script = egressScript({ ...plan, ownSubnet: '10.9.0.0/24' }, 'iptables');
  t.match(script, /-A FC-fc0-out -o fc0 -j REJECT/, 'not to its neighbours');
  t.match(script, /-A FC-fc0-out -d 169\.254\.0\.0\/16 -j REJECT[^]*-A FC-fc0-out -j ACCEPT/);
  t.match(script, /-A FC-fc0-in .*ESTABLISHED,RELATED -j ACCEPT\n-A FC-fc0-in -j REJECT/);
  t.match(script, /\*nat[^]*-A FC-fc0-nat -s 10\.9\.0\.0\/24 ! -o fc0 -j MASQUERADE/);
  t.match(script, /-C "\$forward" -o fc0 -j FC-fc0-in/);
  const v6 = egressScript({ ...plan, ownSubnet: '10.9.0.0/24' }, 'ip6tables');
  t.notMatch(v6, /nat|10\.9/);
  t.match(v6, /FC-fc0-in -j REJECT/);
});

t.test('a bridge of an engine keeps what the engine decides', async (t) => {
  const script = egressScript(plan, 'iptables');
  t.notMatch(script, /ACCEPT|MASQUERADE|FC-fc0-in/);
});
