import { egressPolicyText, type JobNetwork } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { integer, jobId, jsonOption } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';
import { table } from '../../cli/table.ts';

interface NetworkOptions extends ClientOptions {
  readonly refused?: boolean;
  readonly attempt?: number;
}

/** Adds `fumehood jobs network`. */
export function addJobsNetwork(jobs: Command): void {
  jobs
    .command('network')
    .description('list what an attempt of a job has asked of the network so far, and what was allowed')
    .argument('<id>', 'number of the job', jobId)
    .option('--refused', 'only what was refused')
    .option('--attempt <n>', 'of this attempt; default: the last one', integer(1, 2 ** 31 - 1))
    .addOption(jsonOption())
    .action(async (id: number, options: NetworkOptions) => {
      const network = await (await connect(options)).network(id, options.attempt ?? null);
      const receipts = network.receipts.filter(({ verdict }) => !options.refused || verdict === 'refused');
      if (!options.json) note(headline(network));
      printResult(options, { ...network, receipts }, networkLines({ ...network, receipts }));
    });
}

/** Says of which attempt the receipts are, which policy applied, and whether more may follow. */
export function headline({
  attempt,
  policy,
  ended,
}: Pick<JobNetwork, 'attempt' | 'policy' | 'ended'>): string {
  if (policy === null) return `attempt ${attempt}: its executor has said nothing of a network`;
  const more = ended ? '' : '; its executor has not said that these are all';
  return `attempt ${attempt}, under the policy ${egressPolicyText(policy)}${more}`;
}

/** Lays out receipts as a table. */
export function networkLines({ receipts, dropped }: Pick<JobNetwork, 'receipts' | 'dropped'>): string[] {
  const rows = receipts.map((receipt) => {
    const isLookup = receipt.kind === 'lookup';
    return [
      new Date(receipt.at).toISOString(),
      receipt.step ?? '',
      receipt.kind,
      `${receipt.address ?? receipt.name ?? ''}${receipt.port === null ? '' : `:${receipt.port}`}`,
      isLookup ? '' : (receipt.serverName ?? receipt.name ?? ''),
      isLookup ? '' : `${receipt.sentBytes}/${receipt.receivedBytes}`,
      receipt.verdict,
      receipt.rule,
    ];
  });
  if (rows.length === 0) return ['nothing'];
  const head = ['TIME', 'STEP', 'KIND', 'TO', 'NAME', 'SENT/RECEIVED', 'VERDICT', 'RULE'];
  const lines = table([head, ...rows]);
  return dropped === 0
    ? lines
    : [...lines, `${dropped} more between the first and the last ones were not kept`];
}
