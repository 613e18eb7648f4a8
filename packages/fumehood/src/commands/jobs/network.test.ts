import type { JobReceipt } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { headline, networkLines } from './network.ts';

const lookup: JobReceipt = {
  ...{
    seq: 0,
    step: null,
    at: 0,
    kind: 'lookup',
    name: 'a.test',
    address: null,
    port: null,
    serverName: null,
  },
  ...{ sentBytes: 0, receivedBytes: 0, verdict: 'refused', reason: 'policy_name' },
  rule: 'the policy does not allow the name a.test',
};
const connection: JobReceipt = {
  ...{
    seq: 1,
    step: 'step.docker.0',
    at: 1,
    kind: 'connection',
    name: 'b.test',
    address: '1.1.1.1',
    port: 443,
  },
  ...{ serverName: 'b.test', sentBytes: 5, receivedBytes: 7, verdict: 'allowed', reason: null },
  rule: 'allow b.test',
};

it('receipts are laid out as a table', () => {
  expect(networkLines({ receipts: [lookup, connection], dropped: 3 })).toEqual([
    'TIME                      STEP           KIND        TO           NAME    SENT/RECEIVED  VERDICT  RULE',
    '1970-01-01T00:00:00.000Z                 lookup      a.test                              refused  the policy does not allow the name a.test',
    '1970-01-01T00:00:00.001Z  step.docker.0  connection  1.1.1.1:443  b.test  5/7            allowed  allow b.test',
    '3 more between the first and the last ones were not kept',
  ]);
  expect(networkLines({ receipts: [], dropped: 0 })).toEqual(['nothing']);
});

it('the attempt and its policy are named, and that more may follow', () => {
  const policy = { mode: 'allow', hosts: [{ name: 'a.test', ports: [443] }] } as const;
  const applied = {
    mode: policy.mode,
    hosts: policy.hosts.map(({ name, ports }) => ({ name, ports: [...ports] })),
  };
  expect(headline({ attempt: 2, policy: applied, ended: true })).toBe(
    'attempt 2, under the policy allow:a.test:443',
  );
  expect(headline({ attempt: 2, policy: { mode: 'public' }, ended: false })).toMatch(
    /public; its executor has not said that these are all$/,
  );
  expect(headline({ attempt: 0, policy: null, ended: false })).toContain('has said nothing');
});
