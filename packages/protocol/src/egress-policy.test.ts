import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type EgressPolicy,
  egressPolicyText,
  hostRuleOf,
  narrowEgress,
  parseEgressPolicy,
} from './egress-policy.ts';

const names = ['a.test', 'b.a.test', 'c.b.a.test', 'd.test'];
const rules = [...names, '*.test', '*.a.test', '*.b.a.test'];
const policies: fc.Arbitrary<EgressPolicy> = fc.oneof(
  fc.constant<EgressPolicy>({ mode: 'none' }),
  fc.constant<EgressPolicy>({ mode: 'public' }),
  fc.record({
    mode: fc.constant('allow' as const),
    hosts: fc.array(
      fc.record({
        name: fc.constantFrom(...rules),
        ports: fc.oneof(
          fc.constant(null),
          fc.uniqueArray(fc.constantFrom(80, 443, 8080), { minLength: 1, maxLength: 2 }),
        ),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  }),
);
const allows = (policy: EgressPolicy, name: string, port: number) =>
  policy.mode === 'public' || (policy.mode === 'allow' && hostRuleOf(policy.hosts, name, port) !== undefined);

it('a narrowed policy allows what both policies allow, and nothing else', () => {
  fc.assert(
    fc.property(policies, policies, (ceiling, wanted) => {
      const narrowed = narrowEgress(ceiling, wanted);
      for (const name of [...names, 'test', 'x.y.test'])
        for (const port of [80, 443, 8080])
          expect(allows(narrowed, name, port)).toBe(
            allows(ceiling, name, port) && allows(wanted, name, port),
          );
    }),
  );
});

it('the text of a policy stands for a policy that allows the same', () => {
  fc.assert(
    fc.property(policies, (policy) => {
      const again = parseEgressPolicy(egressPolicyText(policy));
      for (const name of names)
        for (const port of [80, 443, 8080])
          expect(allows(again, name, port)).toBe(allows(policy, name, port));
    }),
  );
});

it.each([
  ['none', { mode: 'none' }],
  ['public', { mode: 'public' }],
  ['allow:Registry.Test', { mode: 'allow', hosts: [{ name: 'registry.test', ports: null }] }],
  [
    'allow:a.test:443,*.b.test,a.test:80',
    {
      mode: 'allow',
      hosts: [
        { name: 'a.test', ports: [443, 80] },
        { name: '*.b.test', ports: null },
      ],
    },
  ],
])('%s is a policy', (text, policy) => expect(parseEgressPolicy(text)).toEqual(policy));

it.each([
  'all',
  'allow:',
  'allow:*',
  'allow:*.*.test',
  'allow:10.0.0.1',
  'allow:[::1]:443',
  'allow:a..test',
  'allow:a.test:0',
  'allow:a.test:65536',
  'allow:a.test/24',
  `allow:${'a'.repeat(64)}.test`,
])('%s is no policy', (text) => expect(() => parseEgressPolicy(text)).toThrow());
