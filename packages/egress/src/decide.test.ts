import { parseEgressPolicy } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { decideAnswer, decideConnection, decideName, decideUnresolved, decideServerName } from './decide.ts';

const rulesOf = (policy: string, privateHosts: { name: string; port: number }[] = []) => ({
  policy: parseEgressPolicy(policy),
  privateHosts,
  own: new Set(['1.0.0.9', '192.168.0.2']),
});
const mirror = { name: 'mirror.test', port: 8080 };

describe('a name', () => {
  it.each<[string, string, boolean]>([
    ['public', 'a.test', true],
    ['learn', 'a.test', true],
    ['none', 'a.test', false],
    ['allow:a.test', 'a.test', true],
    ['allow:a.test:443', 'a.test', true],
    ['allow:a.test', 'b.a.test', false],
    ['allow:*.a.test', 'b.a.test', true],
    ['allow:*.a.test', 'a.test', false],
    ['allow:*.a.test', 'xa.test', false],
  ])('under %s: %s, %s', (policy, name, allowed) =>
    expect(decideName(rulesOf(policy), name).allowed).toBe(allowed),
  );
});

describe('an answer', () => {
  it('with one address that is not public is refused whole, and so is one with an address of this machine', () => {
    const rules = rulesOf('public');
    expect(decideAnswer(rules, 'a.test', ['1.1.1.1', '1.0.0.1']).allowed).toBe(true);
    expect(decideAnswer(rules, 'a.test', ['1.1.1.1', '10.0.0.1']).allowed).toBe(false);
    expect(decideAnswer(rules, 'a.test', ['1.1.1.1', '1.0.0.9']).allowed).toBe(false);
  });
  it('may be private for a host that the operator opened, and for no other', () => {
    const rules = rulesOf('public', [mirror]);
    expect(decideAnswer(rules, 'mirror.test', ['10.0.0.1']).allowed).toBe(true);
    expect(decideAnswer(rules, 'a.test', ['10.0.0.1']).allowed).toBe(false);
  });
});

describe('a host that the operator opened', () => {
  const special = [
    ...['127.0.0.1', '127.9.9.9', '0.0.0.0', '::1', '::', '::ffff:10.0.0.1', 'fe80::1', 'ff02::1'],
    ...['169.254.169.254', '169.254.1.1', '168.63.129.16', '100.100.100.200', '192.0.0.192'],
    ...['fd00:ec2::254', 'fd00:0ec2:0:0::0254', 'fd20:ce::254', '224.0.0.1', '255.255.255.255', '240.0.0.1'],
    ...['192.168.0.2', '1.0.0.9'], // own addresses
  ];
  it.each(special)('is not reached at %s, whatever DNS says', (address) => {
    const rules = rulesOf('public', [mirror]);
    expect(decideAnswer(rules, 'mirror.test', ['10.0.0.1', address])).toMatchObject({
      ...{ allowed: false, reason: 'not_public' },
    });
    const connection = { address, port: 8080, names: ['mirror.test'] };
    expect(decideConnection(rules, connection)).toMatchObject({ allowed: false, reason: 'not_public' });
    expect(decideConnection({ ...rules, privateHosts: [] }, connection).allowed).toBe(false);
  });

  const private_ = [
    '10.0.0.1',
    '172.31.0.1',
    '192.168.0.3',
    '100.64.0.1',
    'fd12::1',
    '203.0.113.7',
    '2001:db8::1',
  ];
  it.each([...private_, '1.1.1.1', '2606:4700::1'])('is reached at %s', (address) => {
    const rules = rulesOf('public', [mirror]);
    expect(decideAnswer(rules, 'mirror.test', [address]).allowed).toBe(true);
    expect(decideConnection(rules, { address, port: 8080, names: ['mirror.test'] }).allowed).toBe(true);
  });
});

describe('a connection', () => {
  const decide = (policy: string, address: string, port: number, names: string[] = [], opened = [mirror]) =>
    decideConnection(rulesOf(policy, opened), { address, port, names });

  it.each<[string, string, number, string[], boolean]>([
    ['public', '1.1.1.1', 443, [], true],
    ['public', '169.254.169.254', 80, [], false],
    ['learn', '1.1.1.1', 443, [], true],
    ['learn', '169.254.169.254', 80, [], false],
    ['public', '1.0.0.9', 22, [], false], // the host's own address
    ['public', '10.0.0.1', 80, ['a.test'], false],
    ['none', '1.1.1.1', 443, ['a.test'], false],
    ['allow:a.test', '1.1.1.1', 443, [], false], // an address that was never asked for
    ['allow:a.test', '1.1.1.1', 443, ['a.test'], true],
    ['allow:a.test:443', '1.1.1.1', 80, ['a.test'], false],
    ['allow:a.test', '1.1.1.1', 443, ['b.test'], false],
    ['allow:a.test', '10.0.0.1', 443, ['a.test'], false], // a name that was bound to another address
    // A host that the operator opened: its name and its port, as far as the policy allows it.
    ['public', '10.0.0.1', 8080, ['mirror.test'], true],
    ['allow:mirror.test', '10.0.0.1', 8080, ['mirror.test'], true],
    ['allow:mirror.test', '10.0.0.1', 22, ['mirror.test'], false],
    ['allow:a.test', '10.0.0.1', 8080, ['mirror.test'], false],
    ['public', '10.0.0.1', 8080, [], false],
    ['none', '10.0.0.1', 8080, ['mirror.test'], false],
  ])('under %s to %s:%i, known as %j: %s', (policy, address, port, names, allowed) =>
    expect(decide(policy, address, port, names).allowed).toBe(allowed),
  );
  it('has the rule that allowed it', () => {
    expect(decide('public', '1.1.1.1', 443).rule).toBe('public');
    expect(decide('allow:*.test', '1.1.1.1', 443, ['a.test']).rule).toBe('allow *.test');
    expect(decide('public', '10.0.0.1', 8080, ['mirror.test']).rule).toBe(
      'public, opened on this executor: mirror.test:8080',
    );
  });
  it('has the name that decided, when several names have the address', () => {
    expect(decide('allow:b.test', '1.1.1.1', 443, ['a.test', 'b.test']).name).toBe('b.test');
    expect(decide('public', '10.0.0.1', 8080, ['a.test', 'mirror.test']).name).toBe('mirror.test');
    expect(decide('public', '1.1.1.1', 443, ['a.test', 'b.test']).name).toBe('a.test');
  });
  it.each([
    ['allow:a.test', '10.0.0.1', 443, ['a.test'], 'not_public'],
    ['allow:a.test', '1.1.1.1', 443, [], 'policy_address'],
    ['allow:a.test:443', '1.1.1.1', 80, ['a.test'], 'policy_port'],
    ['none', '1.1.1.1', 80, ['a.test'], 'policy_address'],
  ] as const)('under %s to %s:%i, known as %j, is refused for %s', (policy, address, port, names, reason) =>
    expect(decide(policy, address, port, [...names])).toMatchObject({ allowed: false, reason }),
  );
});

describe('a server name of TLS', () => {
  const names = ['a.test', 'b.test'];
  it.each([
    ['allow:a.test', 'a.test', null],
    ['allow:a.test', 'b.test', 'policy_port'],
    ['allow:a.test,b.test:80', 'b.test', 'policy_port'],
    ['allow:*.test', 'c.test', 'server_name'],
    ['allow:*.test', null, 'server_name'],
    ['learn', 'b.test', null],
    ['learn', 'c.test', 'server_name'],
  ] as const)('under %s for %s is refused for %s', (policy, serverName, reason) => {
    const verdict = decideServerName(rulesOf(policy), { address: '1.1.1.1', port: 443, names }, serverName);
    expect(verdict.allowed ? null : verdict.reason).toBe(reason);
  });
});

it.each<[string, boolean]>([
  ['registry.example.org', true],
  ['mirror.test', true], // opened on this executor
  ['localhost', false],
  ['printer', false],
  ['a.localhost', false],
  ['nas.local', false],
  ['metadata.google.internal', false],
  ['router.home.arpa', false],
  ['git.corp', false],
  ['10.0.0.1', false],
  ['0x7f.1', false],
  ['0x0a000001', false],
  ['a.0x7f', false],
  ['2130706433', false],
])(
  'behind a proxy a name that nobody here resolves is allowed only if it is one of the internet: %s',
  (name, isAllowed) => {
    expect(decideUnresolved(rulesOf('public', [mirror]), name).allowed).toBe(isAllowed);
  },
);

describe('an address that stands for a name', () => {
  const decide = (policy: string, port: number, names: string[], targets: readonly string[] | null) =>
    decideConnection(rulesOf(policy, [mirror]), { address: '198.18.0.1', port, names, targets }).allowed;

  it('is allowed as this name, and not without it', () => {
    const of = (names: string[], targets: readonly string[] | null) =>
      decide('allow:a.org:443', 443, names, targets);
    expect(of(['a.org'], ['2606:4700:4700::1111'])).toBe(true);
    expect(of(['a.org'], [])).toBe(true);
    expect(of(['a.org'], null)).toBe(false);
    expect(of([], [])).toBe(false);
    expect(of(['b.org'], [])).toBe(false);
  });

  it('leads to a private address, or to a name of no internet, for an opened host at its port alone', () => {
    for (const targets of [['10.0.0.1'], []]) {
      expect(decide('public', mirror.port, ['mirror.test'], targets)).toBe(true);
      expect(decide('public', mirror.port + 1, ['mirror.test'], targets)).toBe(false);
      expect(decide('public', mirror.port, ['other.test'], targets)).toBe(false);
    }
    expect(decide('public', mirror.port, ['mirror.test'], ['169.254.169.254'])).toBe(false);
  });
});
