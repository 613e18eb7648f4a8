import type { Receipt } from '@fumehood/protocol';

/** Receipts that are kept at the beginning, and as many at the end. */
const keptMax = 500;
/** Refusals that the log of a step explains. */
const explainedMax = 50;

/** The receipts of one job's network: the first ones and the last ones, and how many there were between them. */
export class Receipts {
  readonly #first: Receipt[] = [];
  #last: Receipt[] = [];
  #dropped = 0;
  readonly #explained = new Set<string>();
  /** Writes a line into the log of the step that runs. */
  tell: ((line: string) => void) | null = null;

  /** Notes a receipt. The first refusal of each kind is explained where the user looks. */
  add(receipt: Receipt): void {
    if (this.#first.length < keptMax) this.#first.push(receipt);
    else this.#last.push(receipt);
    if (this.#last.length >= 2 * keptMax) {
      this.#dropped += keptMax;
      this.#last = this.#last.slice(keptMax);
    }
    if (receipt.verdict !== 'refused') return;
    const line = refusalLine(receipt);
    if (this.#explained.has(line) || this.#explained.size >= explainedMax) return;
    this.#explained.add(line);
    this.tell?.(line);
  }

  /** Returns the receipts as JSON lines, with one for those that were left out. */
  lines(): string[] {
    const surplus = Math.max(0, this.#last.length - keptMax);
    const dropped = this.#dropped + surplus;
    return [
      ...this.#first.map((receipt) => JSON.stringify(receipt)),
      ...(dropped > 0 ? [JSON.stringify({ dropped })] : []),
      ...this.#last.slice(surplus).map((receipt) => JSON.stringify(receipt)),
    ];
  }
}

function refusalLine({ kind, name, address, port, rule }: Receipt): string {
  if (kind === 'broker') return `fumehood: a request to the ${rule.replace(': ', ' was refused: ')}`;
  const question = name === null ? 'a question for a name' : `the name ${name}`;
  const connection =
    address === null ? 'every connection' : `${address}:${port}${name === null ? '' : ` (${name})`}`;
  const what = kind === 'lookup' ? question : connection;
  return `fumehood: ${what} was refused: ${rule}`;
}
