import { templateInvalid } from './errors.ts';
import type { Literal, Node, Pipeline, Term } from './syntax.ts';
import { partsOf, type Token } from './tokens.ts';

/** Longest template, UTF-16 code units. */
const lengthMax = 1_048_576;
/** Deepest nesting of blocks and of parentheses. */
const depthMax = 50;
const keywords = new Set([
  'if',
  'else',
  'end',
  'range',
  'with',
  'break',
  'continue',
  'define',
  'template',
  'block',
]);

/**
 * Reads a template of Go's text/template with the delimiters `${{` and `}}`, without named templates. `names`: the functions and variables that
 * it may use. Errors: `template_invalid`.
 */
export function parseTemplate(template: string, names: ReadonlySet<string>): Node[] {
  if (template.length > lengthMax)
    throw templateInvalid(`a template has at most ${lengthMax} characters`, null);
  return new Parser(template, names).parse();
}

/** The end of a list of nodes: the action that closes it. */
type Closing = { readonly word: 'end' | 'else'; readonly action: Action } | null;

class Parser {
  readonly #parts;
  readonly #names: ReadonlySet<string>;
  #at = 0;
  #depth = 0;
  #loops = 0;
  /** The variables that are known, by block. */
  #variables: string[] = [''];

  constructor(template: string, names: ReadonlySet<string>) {
    this.#parts = partsOf(template);
    this.#names = names;
  }

  parse(): Node[] {
    const { nodes, closing } = this.#nodes();
    if (closing) throw templateInvalid(`unexpected {{${closing.word}}}`, closing.action.offset);
    return nodes;
  }

  #nodes(): { nodes: Node[]; closing: Closing } {
    const nodes: Node[] = [];
    for (;;) {
      const part = this.#parts[this.#at];
      if (part === undefined) return { nodes, closing: null };
      this.#at += 1;
      if (part.kind === 'text') {
        nodes.push(part);
        continue;
      }
      const action = new Action(part.tokens, part.offset, this.#names, this.#variables, depthMax);
      const word = action.keyword(keywords);
      if (word === 'end' || word === 'else') return { nodes, closing: { word, action } };
      if (word === 'if' || word === 'with' || word === 'range') nodes.push(this.#block(word, action));
      else if (word === 'break' || word === 'continue') {
        if (this.#loops === 0) throw templateInvalid(`{{${word}}} outside {{range}}`, part.offset);
        action.end();
        nodes.push({ kind: word });
      } else if (word !== null) throw templateInvalid(`{{${word}}} is not supported`, part.offset);
      else nodes.push({ kind: 'print', pipeline: action.whole() });
    }
  }

  #block(kind: 'if' | 'with' | 'range', action: Action): Node {
    if ((this.#depth += 1) > depthMax) throw templateInvalid('blocks are nested too deeply', action.offset);
    const known = this.#variables.length;
    const pipeline = action.whole(kind === 'range');
    if (kind === 'range') this.#loops += 1;
    const { nodes: body, closing } = this.#nodes();
    if (kind === 'range') this.#loops -= 1;
    let otherwise: readonly Node[] = [];
    if (closing === null) throw templateInvalid('unexpected EOF', action.offset);
    if (closing.word === 'end') closing.action.end();
    else {
      const again = closing.action.keyword(keywords);
      if (again !== null && again === kind && kind !== 'range')
        otherwise = [this.#block(kind, closing.action)];
      else {
        closing.action.end();
        const rest = this.#nodes();
        if (rest.closing?.word !== 'end') throw templateInvalid('expected end', action.offset);
        rest.closing.action.end();
        otherwise = rest.nodes;
      }
    }
    this.#variables.length = known;
    this.#depth -= 1;
    return { kind, pipeline, body, otherwise };
  }
}

/** Reads the tokens of one action. */
class Action {
  readonly offset: number;
  readonly #tokens: readonly Token[];
  readonly #names: ReadonlySet<string>;
  readonly #variables: string[];
  readonly #depthMax: number;
  #at = 0;
  #depth = 0;

  constructor(
    tokens: readonly Token[],
    offset: number,
    names: ReadonlySet<string>,
    variables: string[],
    depth: number,
  ) {
    this.offset = offset;
    this.#tokens = tokens;
    this.#names = names;
    this.#variables = variables;
    this.#depthMax = depth;
  }

  /** Takes the next token if it is one of these words. */
  keyword<W extends string>(words: ReadonlySet<W>): W | null {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'word' || !words.has(token.text as W)) return null;
    this.#at += 1;
    return token.text as W;
  }

  /** Errors: `template_invalid` if a token is left. */
  end(): void {
    const token = this.#tokens[this.#at];
    if (token) throw this.#unexpected(token);
  }

  /** Reads all of the action as a pipeline. */
  whole(isRange = false): Pipeline {
    const pipeline = this.#pipeline(isRange ? 2 : 1);
    this.end();
    return pipeline;
  }

  #unexpected({ text, offset }: Token) {
    return templateInvalid(`unexpected ${JSON.stringify(text)}`, offset);
  }

  #sign(text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'sign' || token.text !== text) return false;
    this.#at += 1;
    return true;
  }

  #pipeline(variablesMax: number): Pipeline {
    if ((this.#depth += 1) > this.#depthMax)
      throw templateInvalid('parentheses are nested too deeply', this.offset);
    const offset = this.#tokens[this.#at]?.offset ?? this.offset;
    const { variables, declares } = this.#stored(variablesMax);
    const commands: Term[][] = [];
    do commands.push(this.#command());
    while (this.#sign('|'));
    for (const command of commands.slice(1))
      if (command[0]?.kind === 'literal' || command[0]?.kind === 'dot')
        throw templateInvalid('non executable command in pipeline', offset);
    // They are known only after the pipeline.
    if (declares) this.#variables.push(...variables);
    this.#depth -= 1;
    return { variables, declares, commands, offset };
  }

  /** Reads `$a :=`, `$a =` and, for a range, `$a, $b :=`. */
  #stored(most: number): { variables: string[]; declares: boolean } {
    const names: string[] = [];
    let at = this.#at;
    for (;;) {
      const token = this.#tokens[at];
      if (token?.kind !== 'variable' || names.length === most) return { variables: [], declares: false };
      names.push(token.text);
      const sign = this.#tokens[at + 1];
      if (sign?.kind !== 'sign') return { variables: [], declares: false };
      at += 2;
      if (sign.text === ',') continue;
      if (sign.text !== ':=' && sign.text !== '=') return { variables: [], declares: false };
      this.#at = at;
      if (sign.text === '=')
        for (const name of names)
          if (!this.#variables.includes(name))
            throw templateInvalid(`undefined variable "$${name}"`, token.offset);
      return { variables: names, declares: sign.text === ':=' };
    }
  }

  #command(): Term[] {
    const terms: Term[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token === undefined || (token.kind === 'sign' && '|)'.includes(token.text))) break;
      if (terms.length > 0 && !token.spaced && !(token.kind === 'sign' && token.text === '('))
        throw this.#unexpected(token);
      terms.push(this.#operand());
    }
    if (terms.length === 0) throw templateInvalid('missing value for command', this.offset);
    return terms;
  }

  /** Reads a term with the fields that follow it. */
  #operand(): Term {
    let term = this.#term();
    for (;;) {
      const token = this.#tokens[this.#at];
      if (token?.kind !== 'field' || token.spaced) return term;
      if (term.kind === 'literal') throw this.#unexpected(token);
      this.#at += 1;
      term = { kind: 'field', of: term, name: token.text, offset: token.offset };
    }
  }

  #term(): Term {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw templateInvalid('missing value for command', this.offset);
    this.#at += 1;
    const { kind, text, offset } = token;
    const literal = (value: Literal): Term => ({ kind: 'literal', value, offset });
    if (kind === 'string') return literal(text);
    if (kind === 'number') return literal(numberFrom(text, offset));
    if (kind === 'character') return literal(text.codePointAt(0) ?? 0);
    if (kind === 'field') return { kind: 'field', of: { kind: 'dot', offset }, name: text, offset };
    if (kind === 'variable') {
      if (!this.#variables.includes(text)) throw templateInvalid(`undefined variable "$${text}"`, offset);
      return { kind: 'variable', name: text, offset };
    }
    if (kind === 'word') {
      if (text === 'true' || text === 'false') return literal(text === 'true');
      if (text === 'nil') return literal(null);
      if (!this.#names.has(text)) throw templateInvalid(`function "${text}" not defined`, offset);
      return { kind: 'name', name: text, offset };
    }
    if (text === '.') return { kind: 'dot', offset };
    if (text === '(') {
      const pipeline = this.#pipeline(1);
      if (!this.#sign(')')) throw templateInvalid('unclosed left paren', offset);
      return { kind: 'pipeline', pipeline, offset };
    }
    throw this.#unexpected(token);
  }
}

/** Errors: `template_invalid` for a number that cannot be represented. */
function numberFrom(text: string, offset: number): Literal {
  const plain = text.replaceAll('_', '');
  const sign = plain.startsWith('-') ? -1 : 1;
  const digits = plain.replace(/^[+-]/, '');
  if (/^\d/.test(digits) && /[.eE]/.test(digits) && !/^0[xX]/.test(digits))
    return { float: sign * Number(digits) };
  if (digits.startsWith('.')) return { float: sign * Number(digits) };
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits}` : digits;
  const whole = sign * Number(octal);
  if (!Number.isSafeInteger(whole)) throw templateInvalid(`bad number syntax: ${text}`, offset);
  return whole;
}
