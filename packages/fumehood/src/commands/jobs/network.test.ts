import type { Receipt } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { networkLines, parseReceipts } from './network.ts';

const lookup: Receipt = {
  ...{ at: 0, kind: 'lookup', name: 'a.test', address: null, port: null, serverName: null },
  ...{
    sentBytes: 0,
    receivedBytes: 0,
    verdict: 'refused',
    rule: 'the policy does not allow the name a.test',
    reason: 'policy_name',
  },
};
const connection: Receipt = {
  ...{ at: 1, kind: 'connection', name: 'b.test', address: '1.1.1.1', port: 443, serverName: 'b.test' },
  ...{ sentBytes: 5, receivedBytes: 7, verdict: 'allowed', rule: 'allow b.test', reason: null },
};

it('receipts are read from lines, and what is none is passed over', () => {
  const lines = [
    JSON.stringify(lookup),
    '{"dropped":3}',
    'broken',
    '{"at":1}',
    JSON.stringify(connection),
    '',
  ];
  expect(parseReceipts(lines.join('\n'))).toEqual({ receipts: [lookup, connection], dropped: 3 });
});

it('receipts are laid out as a table', () => {
  expect(networkLines({ receipts: [lookup, connection], dropped: 3 })).toEqual([
    'TIME                      KIND        TO           NAME    SENT/RECEIVED  VERDICT  RULE',
    '1970-01-01T00:00:00.000Z  lookup      a.test                              refused  the policy does not allow the name a.test',
    '1970-01-01T00:00:00.001Z  connection  1.1.1.1:443  b.test  5/7            allowed  allow b.test',
    '3 more between the first and the last ones were not kept',
  ]);
  expect(networkLines({ receipts: [], dropped: 0 })).toEqual(['nothing']);
});
