import type { Client } from '@fumehood/client';
import { type Receipt, receiptSchema } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jobId, jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { table } from '../../cli/table.ts';

interface NetworkOptions extends ClientOptions {
  readonly refused?: boolean;
}

/** What the last attempt of a job asked of the network. */
interface NetworkOfJob {
  readonly receipts: readonly Receipt[];
  /** How many receipts between the first and the last ones were not kept. */
  readonly dropped: number;
}

/** Adds `fumehood jobs network`. */
export function addJobsNetwork(jobs: Command): void {
  jobs
    .command('network')
    .description(
      'list what the last attempt of a job asked of the network, and what was allowed, once it has ended',
    )
    .argument('<id>', 'number of the job', jobId)
    .option('--refused', 'only what was refused')
    .addOption(jsonOption())
    .action(async (id: number, options: NetworkOptions) => {
      const network = await networkOf(await connect(options), id);
      const receipts = network.receipts.filter(({ verdict }) => !options.refused || verdict === 'refused');
      const shown = { ...network, receipts };
      printResult(options, shown, networkLines(shown));
    });
}

/** Reads the receipts in the log of the last attempt that has some. */
async function networkOf(client: Client, id: number): Promise<NetworkOfJob> {
  const { watchJob } = await import('@fumehood/client');
  const texts = new Map<number, string>();
  await watchJob(
    client,
    id,
    {
      onOutput({ attempt, key }, _stream, bytes) {
        if (key === 'network') texts.set(attempt, (texts.get(attempt) ?? '') + bytes.toString());
      },
    },
    { follow: false },
  );
  return parseReceipts(texts.get(Math.max(...texts.keys())) ?? '');
}

/** Reads receipts as the executor writes them, a JSON object on each line. Lines that are none are passed over. */
export function parseReceipts(text: string): NetworkOfJob {
  let dropped = 0;
  const receipts = text.split('\n').flatMap((line) => {
    const value = jsonOf(line);
    const parsed = receiptSchema.safeParse(value);
    if (parsed.success) return [parsed.data];
    dropped += Number((value as { dropped?: unknown } | null)?.dropped ?? 0) || 0;
    return [];
  });
  return { receipts, dropped };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** Lays out receipts as a table. */
export function networkLines({ receipts, dropped }: NetworkOfJob): string[] {
  const rows = receipts.map((receipt) => [
    new Date(receipt.at).toISOString(),
    receipt.kind,
    receipt.kind === 'lookup' ? (receipt.name ?? '') : `${receipt.address ?? receipt.name}:${receipt.port}`,
    receipt.kind === 'lookup' ? '' : (receipt.serverName ?? receipt.name ?? ''),
    receipt.kind === 'lookup' ? '' : `${receipt.sentBytes}/${receipt.receivedBytes}`,
    receipt.verdict,
    receipt.rule,
  ]);
  if (rows.length === 0) return ['nothing'];
  const lines = table([['TIME', 'KIND', 'TO', 'NAME', 'SENT/RECEIVED', 'VERDICT', 'RULE'], ...rows]);
  return dropped === 0
    ? lines
    : [...lines, `${dropped} more between the first and the last ones were not kept`];
}
