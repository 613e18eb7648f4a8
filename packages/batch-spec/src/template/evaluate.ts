import type { FumehoodError } from '@fumehood/base';
import { templateInvalid } from './errors.ts';
import { type Arguments, type Call, functions } from './functions.ts';
import type { Literal, Node, Pipeline, Term } from './syntax.ts';
import { Float, isList, isMap, isTrue, sortedEntries, textOf, typeOf, type Value } from './value.ts';

/** Most steps of an evaluation, and most characters of its result: a short template can ask for any number of either. */
const stepsMax = 200_000;
const lengthMax = 4_194_304;

/** Ends an iteration of a range, or all of it. */
type Jump = 'break' | 'continue' | null;

/** Evaluates a template. `variables`: what its names without arguments stand for. Errors: `template_invalid`. */
export function evaluate(nodes: readonly Node[], variables: ReadonlyMap<string, Value>): string {
  return new Evaluation(variables).run(nodes);
}

class Evaluation {
  readonly #names: ReadonlyMap<string, Value>;
  /** Variables of the template, the innermost last. `$` is the first. */
  readonly #variables: { readonly name: string; value: Value }[] = [{ name: '', value: new Map() }];
  readonly #out: string[] = [];
  #length = 0;
  #steps = 0;

  constructor(names: ReadonlyMap<string, Value>) {
    this.#names = names;
  }

  run(nodes: readonly Node[]): string {
    this.#walk(nodes, new Map());
    return this.#out.join('');
  }

  #write(text: string): void {
    this.#length += text.length;
    if (this.#length > lengthMax)
      throw templateInvalid(`a template yields at most ${lengthMax} characters`, null);
    this.#out.push(text);
  }

  #step(offset: number | null): void {
    this.#steps += 1;
    if (this.#steps > stepsMax) throw templateInvalid(`a template takes at most ${stepsMax} steps`, offset);
  }

  #walk(nodes: readonly Node[], dot: Value): Jump {
    for (const node of nodes) {
      this.#step(null);
      if (node.kind === 'text') this.#write(node.text);
      else if (!('pipeline' in node)) return node.kind;
      else if (node.kind === 'print') {
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length === 0) this.#write(value === null ? '<no value>' : textOf(value));
      } else {
        const known = this.#variables.length;
        const jump = node.kind === 'range' ? this.#range(node, dot) : this.#choose(node, dot);
        this.#variables.length = known;
        if (jump !== null) return jump;
      }
    }
    return null;
  }

  #choose(node: Extract<Node, { body: readonly Node[] }>, dot: Value): Jump {
    const value = this.#pipeline(node.pipeline, dot);
    if (!isTrue(value)) return this.#walk(node.otherwise, dot);
    return this.#walk(node.body, node.kind === 'with' ? value : dot);
  }

  #range({ pipeline, body, otherwise }: Extract<Node, { body: readonly Node[] }>, dot: Value): Jump {
    const { variables, declares, commands, offset } = pipeline;
    const over = this.#pipeline({ ...pipeline, variables: [], commands }, dot);
    const entries = entriesOf(over, offset);
    const known = this.#variables.length;
    let any = false;
    for (const [key, value] of entries) {
      any = true;
      this.#step(offset);
      const values = variables.length === 2 ? [key, value] : [value];
      variables.forEach((name, at) => this.#store(name, values[at] ?? null, declares));
      const jump = this.#walk(body, value);
      this.#variables.length = known;
      if (jump === 'break') break;
    }
    return any ? null : this.#walk(otherwise, dot);
  }

  #store(name: string, value: Value, declares: boolean): void {
    if (declares) this.#variables.push({ name, value });
    else {
      const found = this.#variables.findLast((one) => one.name === name);
      if (found) found.value = value;
    }
  }

  #pipeline({ variables, declares, commands }: Pipeline, dot: Value): Value {
    let value: Value | undefined;
    for (const command of commands) value = this.#command(command, dot, value);
    for (const name of variables) this.#store(name, value ?? null, declares);
    return value ?? null;
  }

  #command([first, ...rest]: readonly Term[], dot: Value, last: Value | undefined): Value {
    if (first === undefined) return null;
    this.#step(first.offset);
    if (first.kind === 'name' && !this.#names.has(first.name))
      return this.#call(first, [
        ...rest.map((term) => () => this.#term(term, dot)),
        ...(last === undefined ? [] : [() => last]),
      ]);
    if (rest.length > 0 || last !== undefined)
      throw templateInvalid(`can't give argument to non-function ${nameOf(first)}`, first.offset);
    return this.#term(first, dot);
  }

  #call({ name, offset }: Extract<Term, { kind: 'name' }>, args: Arguments): Value {
    const call = functions[name] as Call;
    try {
      return call(args);
    } catch (error) {
      const { message } = error as FumehoodError;
      throw templateInvalid(
        message.startsWith('error calling') ? message : `error calling ${name}: ${message}`,
        offset,
      );
    }
  }

  #term(term: Term, dot: Value): Value {
    const { kind } = term;
    if (kind === 'literal') return valueOf(term.value);
    if (kind === 'dot') return dot;
    if (kind === 'variable') return this.#variables.findLast((one) => one.name === term.name)?.value ?? null;
    if (kind === 'pipeline') return this.#pipeline(term.pipeline, dot);
    if (kind === 'field') return fieldOf(this.#term(term.of, dot), term.name, term.offset);
    return this.#names.has(term.name) ? (this.#names.get(term.name) ?? null) : this.#call(term, []);
  }
}

const valueOf = (literal: Literal): Value =>
  typeof literal === 'object' && literal !== null ? new Float(literal.float) : literal;

const nameOf = (term: Term): string =>
  term.kind === 'name' || term.kind === 'field' ? term.name : term.kind;

/** Returns a field of a map. Errors: `template_invalid`, also for a key that the map lacks. */
function fieldOf(value: Value, name: string, offset: number): Value {
  if (!isMap(value)) {
    const what =
      value === null
        ? `nil pointer evaluating nil.${name}`
        : `can't evaluate field ${name} in type ${typeOf(value)}`;
    throw templateInvalid(what, offset);
  }
  const found = value.get(name);
  if (found === undefined) throw templateInvalid(`map has no entry for key "${name}"`, offset);
  return found;
}

/** Yields what a range goes over, with the indexes or keys. */
function* entriesOf(over: Value, offset: number): Generator<[Value, Value]> {
  if (isList(over)) yield* over.entries();
  else if (isMap(over)) yield* sortedEntries(over);
  else if (typeof over === 'number') for (let at = 0; at < over; at += 1) yield [at, at];
  else if (over !== null) throw templateInvalid(`range can't iterate over ${textOf(over)}`, offset);
}
