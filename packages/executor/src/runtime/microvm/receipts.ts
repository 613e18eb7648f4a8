import { type Clock, factsOf } from '@fumehood/base';
import {
  type EgressPolicy,
  egressPolicyText,
  type JobReceipt,
  type Receipt,
  receiptBatchMax,
  receiptSchema,
  receiptsKept,
} from '@fumehood/protocol';
import type { JobClient } from '../../uplink/job-client.ts';
import { openPhaseLog } from '../../uplink/phase-log.ts';
import { type Redactions, redact } from '../../uplink/redact.ts';
import { writeLine } from './phase.ts';

/** Shortest time between two requests with receipts, ms. */
const everyMs = 1_000;
/** How long the end of a job waits until its last receipts have arrived, ms. */
const endMs = 3_000;
/** Refusals that the logs of the steps explain. */
const explainedMax = 50;

/** The receipts of one attempt, which are sent while it runs. */
export interface JobReceipts {
  /** Takes a receipt. The first refusal of each kind is explained in the log of the step that runs. */
  add(receipt: Receipt): void;
  /** A step runs from now on; `tell` writes a line into its log. Call what is returned when it has ended. */
  beginStep(key: string, tell: (line: string) => void): () => void;
  /**
   * Sends what is left, and waits for it, but not for long. An instance that does not take receipts gets them as lines of the log entry `network`.
   * Errors: those of a log entry.
   */
  end(): Promise<void>;
}

/** Opens the receipts of an attempt whose guest has a network under this policy. Once `lost` is aborted, nothing is sent. */
export function openReceipts(
  client: JobClient,
  policy: EgressPolicy,
  clock: Clock,
  lost: AbortSignal,
): JobReceipts {
  const kept = new KeptReceipts();
  const steps: { readonly key: string; readonly from: number; until: number | null }[] = [];
  const explained = new Set<string>();
  const withoutHidden = redactReceipt(client.redactions);
  const ending = new AbortController();
  const givenUp = new AbortController();
  const signal = AbortSignal.any([lost, givenUp.signal]);
  let tell: ((line: string) => void) | null = null;
  /** Whether the instance takes receipts, and whether it has been told that none follows. */
  const state = { isTaken: client.native, hasEnded: false };
  let sending: Promise<void> | null = null;

  const sendAll = async () => {
    while (!state.hasEnded && (kept.size > 0 || ending.signal.aborted)) {
      const receipts = kept.first(receiptBatchMax);
      const ended = ending.signal.aborted && receipts.length === kept.size;
      await client.receipts({ policy, receipts, ended }, signal);
      kept.removeThrough(receipts.at(-1)?.seq ?? -1);
      state.hasEnded = ended;
      if (!ended) await clock.sleep(everyMs, ending.signal).catch(() => {});
    }
  };
  const startSending = () => {
    if (!state.isTaken || signal.aborted) return;
    sending ??= sendAll()
      .catch((error: unknown) => {
        if (factsOf(error).code === 'instance_refused') state.isTaken = false;
        else givenUp.abort(error);
      })
      .finally(() => {
        sending = null;
      });
  };
  return {
    add(receipt) {
      const { at } = receipt;
      const step = steps.findLast(({ from, until }) => from <= at && at <= (until ?? at));
      kept.add(withoutHidden(receipt), step?.key ?? null);
      startSending();
      if (receipt.verdict !== 'refused') return;
      const line = refusalLine(receipt);
      if (explained.has(line) || explained.size >= explainedMax) return;
      explained.add(line);
      tell?.(line);
    },
    beginStep(key, write) {
      const step: (typeof steps)[number] = { key, from: clock.now(), until: null };
      steps.push(step);
      tell = write;
      return () => {
        tell = null;
        step.until = clock.now();
      };
    },
    async end() {
      const done = new AbortController();
      void clock.sleep(endMs, done.signal).then(
        () => givenUp.abort(),
        () => {},
      );
      ending.abort();
      while (state.isTaken && !state.hasEnded && !signal.aborted) {
        startSending();
        await sending;
      }
      done.abort();
      if (state.isTaken || lost.aborted) return;
      const log = await openPhaseLog(client, clock, 'network', [egressPolicyText(policy)]);
      for (const line of kept.lines()) await writeLine(log, line);
      await log.end(0);
    },
  };
}

/** The receipts that wait to be sent: however many there are, no more than the first ones and the last ones that the instance keeps. */
class KeptReceipts {
  #receipts: JobReceipt[] = [];
  #next = 0;

  get size(): number {
    return this.#receipts.length;
  }

  add(receipt: Receipt, step: string | null): void {
    this.#receipts.push({ ...receipt, seq: this.#next, step });
    this.#next += 1;
    if (this.#receipts.length >= 3 * receiptsKept) this.#trim();
  }

  first(count: number): JobReceipt[] {
    return this.#receipts.slice(0, count);
  }

  removeThrough(seq: number): void {
    this.#receipts = this.#receipts.filter((receipt) => receipt.seq > seq);
  }

  /** Returns them as JSON lines, with one for those that were left out. */
  lines(): string[] {
    this.#trim();
    const dropped = this.#next - this.#receipts.length;
    const [first, last] = [
      this.#receipts.filter(({ seq }) => seq < receiptsKept),
      this.#receipts.filter(({ seq }) => seq >= receiptsKept),
    ];
    return [...first, ...(dropped > 0 ? [{ dropped }] : []), ...last].map((line) => JSON.stringify(line));
  }

  #trim(): void {
    const from = this.#next - receiptsKept;
    this.#receipts = this.#receipts.filter(({ seq }) => seq < receiptsKept || seq >= from);
  }
}

/** Returns a function that takes the values that the job wants hidden out of the texts of a receipt, as they are taken out of its log. */
function redactReceipt(redactions: Redactions): (receipt: Receipt) => Receipt {
  const { name, rule } = receiptSchema.shape;
  const [nameMax, ruleMax] = [name.unwrap().maxLength ?? 0, rule.maxLength ?? 0];
  // Names are in lower case.
  const all = Object.entries(redactions).flatMap(([value, shown]) => [
    [value, shown],
    [value.toLowerCase(), shown],
  ]);
  // A longer value is in none of the texts; and most texts have none of the values, which is found out fast.
  const hidden = all.filter(([value = '']) => value !== '' && value.length <= ruleMax);
  const replacements = Object.fromEntries(hidden);
  const clean = (text: string, max: number) =>
    hidden.some(([value = '']) => text.includes(value)) ? redact(text, replacements).slice(0, max) : text;
  return (receipt) => ({
    ...receipt,
    name: receipt.name && clean(receipt.name, nameMax),
    serverName: receipt.serverName && clean(receipt.serverName, nameMax),
    rule: clean(receipt.rule, ruleMax),
  });
}

/** Returns what the log of a step says of a refusal: what was refused, why, and what a policy needs to allow it. */
function refusalLine({ kind, name, address, port, rule, reason }: Receipt): string {
  if (kind === 'broker') return `fumehood: a request to the ${rule.replace(': ', ' was refused: ')}`;
  const question = name === null ? 'a question for a name' : `the name ${name}`;
  const connection =
    address === null ? 'every connection' : `${address}:${port}${name === null ? '' : ` (${name})`}`;
  const what = kind === 'lookup' ? question : connection;
  const missing = reason === 'policy_name' ? name : reason === 'policy_port' ? `${name}:${port}` : null;
  const remedy = missing === null ? '' : `. To allow it, add ${missing} to the policy of the job`;
  return `fumehood: ${what} was refused: ${rule}${remedy}`;
}
