/** The syntax tree of a template. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly pipeline: Pipeline }
  | {
      readonly kind: 'if' | 'with' | 'range';
      readonly pipeline: Pipeline;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly kind: 'break' | 'continue' };

/** Commands, each of which gets the value of the one before as its last argument, and the variables that the last value is stored in. */
export interface Pipeline {
  readonly variables: readonly string[];
  /** The variables are new: `:=`, not `=`. */
  readonly declares: boolean;
  readonly commands: readonly (readonly Term[])[];
  readonly offset: number;
}

export type Term =
  | { readonly kind: 'literal'; readonly value: Literal; readonly offset: number }
  | { readonly kind: 'dot'; readonly offset: number }
  /** A function; variables of the product, as `repository`, are functions without arguments. */
  | { readonly kind: 'name'; readonly name: string; readonly offset: number }
  | { readonly kind: 'variable'; readonly name: string; readonly offset: number }
  | { readonly kind: 'pipeline'; readonly pipeline: Pipeline; readonly offset: number }
  /** A field of the value of another term, as in `repository.name`. */
  | { readonly kind: 'field'; readonly of: Term; readonly name: string; readonly offset: number };

/** `float`: a number with a point or an exponent. */
export type Literal = string | boolean | null | number | { readonly float: number };
