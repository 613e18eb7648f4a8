import type { SufficientPolicy } from '@fumehood/egress';
import { egressPolicyText, type JobNetwork, type JobReceipt } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { integer, jobId, jsonOption } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';
import { headline } from './network.ts';

interface PolicyOptions extends ClientOptions {
  readonly attempt?: number;
}

/** Adds `fumehood jobs policy`. */
export function addJobsPolicy(jobs: Command): void {
  jobs
    .command('policy')
    .description('print the smallest policy, for --network, that allows what an attempt of a job was allowed')
    .argument('<id>', 'number of the job', jobId)
    .option('--attempt <n>', 'of this attempt; default: the last one', integer(1, 2 ** 31 - 1))
    .addOption(jsonOption())
    .action(async (id: number, options: PolicyOptions) => {
      const { sufficientPolicy } = await import('@fumehood/egress');
      const network = await (await connect(options)).network(id, options.attempt ?? null);
      const found = sufficientPolicy(network.receipts);
      const text = egressPolicyText(found.policy);
      const { attempt, policy: applied, ended } = network;
      note(headline(network), ...(await caveats(network, found)));
      printResult(options, { attempt, text, applied, ended, isWhole: isWhole(network), ...found }, [text]);
    });
}

/** Places that one line names. */
const namedMax = 5;

/** Returns whether there is a receipt for everything that the guest asked until now. */
function isWhole({ dropped, receipts }: Pick<JobNetwork, 'dropped' | 'receipts'>): boolean {
  const isGap = ({ kind, reason }: JobReceipt) => kind === 'omitted' || reason === 'gateway_ended';
  return dropped === 0 && !receipts.some(isGap);
}

/** Says what the policy does not say of itself. */
export async function caveats(
  network: Pick<JobNetwork, 'policy' | 'receipts' | 'dropped'>,
  { policy, named, nameless, onlyLookedUp }: SufficientPolicy,
): Promise<string[]> {
  const { lookupPort } = await import('@fumehood/egress');
  const some = (places: readonly string[]) => {
    const known = [...new Set(places)];
    const more = known.length > namedMax ? `, and ${known.length - namedMax} more` : '';
    return `${known.slice(0, namedMax).join(', ')}${more}`;
  };
  const places = nameless.map(({ address, port, name, serverName, reason }) => {
    const to = address === null ? `the name ${name}` : `${address}:${port}`;
    if (reason === 'hello') return `${to} (TLS whose name cannot be relied on)`;
    return serverName === null ? to : `${to} (TLS for ${serverName})`;
  });
  const rest = named ? `; everything else: ${egressPolicyText(named)}` : '';
  return [
    ...(nameless.length > 0 ? [`only \`public\` allows ${some(places)}${rest}`] : []),
    ...(policy.mode === 'public' && nameless.length === 0
      ? ['only `public` allows so many names or ports']
      : []),
    ...(onlyLookedUp.length > 0
      ? [`looked up, and never connected to; a rule needs a port, here ${lookupPort}: ${some(onlyLookedUp)}`]
      : []),
    ...(isWhole(network) ? [] : ['not every receipt was kept: the policy may lack rules']),
    ...(network.policy?.mode === 'public'
      ? ['under `public` nobody looks at the names of TLS; `--network learn` does']
      : []),
  ];
}
