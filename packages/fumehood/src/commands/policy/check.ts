import { createReadStream } from 'node:fs';
import { isIP } from 'node:net';
import { collect, factsOf } from '@fumehood/base';
import {
  type EgressPolicy,
  egressPolicySchema,
  egressPolicyText,
  parseEgressPolicy,
  privateHostSchema,
} from '@fumehood/protocol';
import { type Command, InvalidArgumentError } from 'commander';
import * as z from 'zod';
import { jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printResult } from '../../cli/print.ts';
import { policyInvalid } from '../../errors.ts';

/** Longest policy that is read, bytes. */
const policyMax = 8 * 2 ** 20;

/** Adds `fumehood policy check`. */
export function addPolicyCheck(policy: Command): void {
  policy
    .command('check')
    .description(
      'say whether a policy allows a connection, and by which rule; exit code 0: allowed, 1: refused, 2: a mistake',
    )
    .argument('<file>', 'the policy, as --network takes it or as JSON; - reads stdin')
    .argument('<host:port>', 'a name or an address, and a port', target)
    .addOption(jsonOption())
    .action(async (file: string, { host, port }: Target, options: PrintOptions) => {
      const { decideTarget } = await import('@fumehood/egress');
      const source = file === '-' ? process.stdin : createReadStream(file);
      const text = await collect(source, policyMax).catch((error: unknown) => {
        throw policyInvalid(file, factsOf(error).message);
      });
      const checked = parsePolicy(text.toString('utf8').trim(), file);
      const verdict = decideTarget(checked, host, port);
      const { allowed, rule } = verdict;
      const shown = { host, port, policy: egressPolicyText(checked), allowed, rule };
      const json = { ...shown, reason: verdict.allowed ? null : verdict.reason };
      printResult(options, json, [`${allowed ? 'allowed' : 'refused'}: ${rule}`]);
      if (!allowed) process.exitCode = 1;
    });
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** Parses HOST:PORT; an address of IPv6 is in brackets. */
export function target(text: string): Target {
  const [, bracketed, plain = '', digits] = /^(?:\[([\da-f:.]+)\]|([^:]+)):(\d{1,5})$/i.exec(text) ?? [];
  const host = (bracketed ?? plain).toLowerCase();
  const port = Number(digits);
  const isHost =
    bracketed === undefined
      ? privateHostSchema.shape.name.safeParse(host).success || isIP(host) === 4
      : isIP(host) === 6;
  if (!isHost || !(port >= 1 && port <= 65_535))
    throw new InvalidArgumentError(
      'Give HOST:PORT, such as example.com:443, 192.0.2.1:80 or [2001:db8::1]:443.',
    );
  return { host, port };
}

/** Returns the policy that a file holds, as text or as JSON. Errors: `policy_invalid`. */
export function parsePolicy(text: string, file: string): EgressPolicy {
  try {
    return text.startsWith('{') ? egressPolicySchema.parse(JSON.parse(text)) : parseEgressPolicy(text);
  } catch (error) {
    const why = error instanceof z.ZodError ? (error.issues[0]?.message ?? '') : (error as Error).message;
    throw policyInvalid(file, why);
  }
}
