import { parseEgressPolicy } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { decideTarget } from './decide-target.ts';

it.each([
  ['allow:a.test:443', 'a.test', 443, true, 'allow a.test:443'],
  ['allow:a.test:443', 'a.test', 80, false, 'the policy does not allow port 80 of a.test'],
  ['allow:*.test', 'a.test', 80, true, 'allow *.test'],
  ['allow:*.test', 'test', 80, false, 'the policy does not allow the name test'],
  ['allow:a.test', '1.1.1.1', 443, false, 'the address is not that of an allowed name'],
  ['public', '1.1.1.1', 443, true, 'public'],
  ['learn', 'a.test', 443, true, 'learn'],
  ['public', '169.254.169.254', 80, false, 'the address is not on the public internet'],
  ['public', '2606:4700:4700::1111', 443, false, 'a guest has no IPv6'],
  ['none', 'a.test', 443, false, 'the policy does not allow the name a.test'],
])('under %s, %s:%i: %s', (policy, host, port, allowed, rule) =>
  expect(decideTarget(parseEgressPolicy(policy), host, port)).toMatchObject({ allowed, rule }),
);
