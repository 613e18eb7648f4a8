/** A condition as it is written. */
export interface Term {
  readonly kind: 'term';
  /** The name before the colon, in lower case; null: it has none. */
  readonly field: string | null;
  readonly value: string;
  readonly isNot: boolean;
  readonly isQuoted: boolean;
  /** Where it begins, UTF-16 code units. */
  readonly at: number;
}

/** What a query says. `sequence`: terms and groups that follow each other without an operator; `text`: the group that it is, with its parentheses. */
export type Expression =
  | Term
  | { readonly kind: 'sequence'; readonly of: readonly Expression[]; readonly text: string | null }
  | { readonly kind: 'and' | 'or'; readonly of: readonly Expression[] }
  | { readonly kind: 'not'; readonly of: Expression };

/** Makes the error of a query, for the place of what it is about; null: for all of it. */
export type Refuse = (why: string, at: number | null) => Error;

/** Deepest nesting of groups. */
const depthMax = 20;
const field = /([A-Za-z]+):/y;
const quoted = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/sy;
const pattern = /\/(?:[^/\\]|\\.)+\/(?=[\s)]|$)/y;
/** What takes its arguments in parentheses, which may have spaces. */
const predicate = /(?:has|contains)(?:\.[a-z]+)*\(/y;

/** Reads the operators, groups and terms of a query. Errors: those of `refuse`. */
export function readExpression(text: string, refuse: Refuse): Expression {
  return new Reader(text, refuse).either();
}

class Reader {
  readonly #text: string;
  readonly #refuse: Refuse;
  #at = 0;
  #depth = 0;

  constructor(text: string, refuse: Refuse) {
    this.#text = text;
    this.#refuse = refuse;
  }

  /** Reads what `or` separates. */
  either(): Expression {
    return this.#separated('or', () => this.#separated('and', () => this.#sequence()));
  }

  #separated(word: 'and' | 'or', read: () => Expression): Expression {
    const of = [read()];
    while (this.#takeWord(word)) of.push(read());
    return of.length === 1 ? (of[0] as Expression) : { kind: word, of };
  }

  #sequence(): Expression {
    const begin = this.#at;
    const of: Expression[] = [];
    for (;;) {
      this.#skipSpace();
      if (this.#isAtEnd() || this.#isWord('or') || this.#isWord('and')) break;
      of.push(this.#operand());
    }
    if (of.length === 0 && (this.#depth > 0 || this.#at < this.#text.length || begin > 0))
      throw this.#refuse('an operator or a group lacks a condition', this.#at);
    return { kind: 'sequence', of, text: null };
  }

  #operand(): Expression {
    const isNot = this.#takeWord('not');
    if (isNot) {
      this.#skipSpace();
      if (this.#isAtEnd()) throw this.#refuse('nothing follows `not`', this.#at);
      return { kind: 'not', of: this.#operand() };
    }
    if (this.#text[this.#at] === ')') throw this.#refuse('a `)` closes no group', this.#at);
    const group = /-?\(/y;
    group.lastIndex = this.#at;
    const [sign = ''] = group.exec(this.#text) ?? [];
    if (sign !== '' && !this.#isPatternWithGroup(this.#at + sign.length - 1)) {
      const begin = this.#at;
      this.#at += sign.length;
      if ((this.#depth += 1) > depthMax) throw this.#refuse('its groups are nested too deeply', begin);
      const of = this.either();
      this.#skipSpace();
      if (this.#text[this.#at] !== ')') throw this.#refuse('a group has no `)`', begin);
      this.#at += 1;
      this.#depth -= 1;
      if (sign.startsWith('-')) return { kind: 'not', of };
      return of.kind === 'sequence' ? { ...of, text: this.#text.slice(begin, this.#at) } : of;
    }
    return this.#term();
  }

  /** Whether a `(` begins a regular expression as `(a|b)c`, and no group: something follows its `)` at once. */
  #isPatternWithGroup(at: number): boolean {
    const end = this.#balancedEnd(at + 1, true);
    return end !== null && /[^\s)]/.test(this.#text[end + 1] ?? ' ');
  }

  #term(): Term {
    const at = this.#at;
    const isNot = this.#text[at] === '-' && /\S/.test(this.#text[at + 1] ?? ' ');
    if (isNot) this.#at += 1;
    const name = this.#take(field)?.[1]?.toLowerCase() ?? null;
    const facts = { kind: 'term', field: name, isNot, at } as const;
    const inQuotes = this.#take(quoted);
    if (inQuotes) {
      const value = (inQuotes[1] ?? inQuotes[2] ?? '').replace(/\\(["'\\])/g, '$1');
      return { ...facts, value, isQuoted: true };
    }
    const value = this.#take(pattern)?.[0] ?? this.#word();
    return { ...facts, value, isQuoted: false };
  }

  /** Reads up to a space, or to a `)` that closes a group. */
  #word(): string {
    const begin = this.#at;
    const call = this.#take(predicate);
    if (call) {
      const end = this.#balancedEnd(this.#at, false);
      if (end === null) throw this.#refuse('a `(` is not closed', begin);
      this.#at = end + 1;
    }
    const end = this.#depth > 0 ? this.#balancedEnd(this.#at, true) : null;
    const space = /\s/g;
    space.lastIndex = this.#at;
    const spaceAt = space.exec(this.#text)?.index ?? this.#text.length;
    this.#at = Math.min(end ?? spaceAt, spaceAt);
    return this.#text.slice(begin, this.#at);
  }

  /** Returns where the first `)` is from a place on that closes nothing behind it; null: there is none, or a space is before it and `isWord`. */
  #balancedEnd(from: number, isWord: boolean): number | null {
    let open = 0;
    for (let at = from; at < this.#text.length; at += 1) {
      const one = this.#text[at] ?? '';
      if (isWord && /\s/.test(one)) return null;
      if (one === '\\') at += 1;
      else if (one === '(') open += 1;
      else if (one === ')' && (open -= 1) < 0) return at;
    }
    return null;
  }

  #skipSpace(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #isAtEnd(): boolean {
    return this.#at >= this.#text.length || (this.#text[this.#at] === ')' && this.#depth > 0);
  }

  #isWord(word: string): boolean {
    const found = this.#text.slice(this.#at, this.#at + word.length);
    return (
      (found === word || found === word.toUpperCase()) &&
      /^[\s(]?$/.test(this.#text[this.#at + word.length] ?? '')
    );
  }

  #takeWord(word: string): boolean {
    this.#skipSpace();
    if (!this.#isWord(word)) return false;
    this.#at += word.length;
    return true;
  }

  #take(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.#at;
    const found = expression.exec(this.#text);
    if (found) this.#at = expression.lastIndex;
    return found;
  }
}
