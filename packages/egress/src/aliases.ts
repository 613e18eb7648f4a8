/** What stands behind an address that exists for one guest alone. */
interface Alias {
  readonly address: string;
  /** The addresses that were found and checked; none if nobody but the HTTP proxy knows them. */
  targets: readonly string[];
}

/** Most names of a guest. */
const aliasesMax = 10_000;

/**
 * Addresses of IPv4 that stand for names. A guest has nothing else: it gets one for a name that has addresses of IPv6 alone, and for each name
 * that an HTTP proxy is asked for. Each stands for the same name as long as the guest lives.
 */
export class Aliases {
  readonly #network: string;
  readonly #ofName = new Map<string, Alias>();
  readonly #ofAddress = new Map<string, Alias>();

  /** `network`: the first half of all of these addresses. No host of the internet has one of 198.18.0.0/15, which is for benchmarks (RFC 2544). */
  constructor(network = '198.18') {
    this.#network = network;
  }

  /** Returns the address that stands for a name, which has these addresses now. Null: the guest has too many names. */
  give(name: string, targets: readonly string[]): string | null {
    const known = this.#ofName.get(name);
    if (known) {
      known.targets = targets;
      return known.address;
    }
    if (this.#ofName.size >= aliasesMax) return null;
    const number = this.#ofName.size + 1;
    const address = `${this.#network}.${number >> 8}.${number & 255}`;
    const alias = { address, targets };
    this.#ofName.set(name, alias);
    this.#ofAddress.set(address, alias);
    return address;
  }

  /** Returns the addresses behind one that stands for a name, or null for any other address. */
  targetsOf(address: string): readonly string[] | null {
    return this.#ofAddress.get(address)?.targets ?? null;
  }
}
