import { FumehoodError } from '@fumehood/base';
import {
  buildSchema,
  execute,
  getOperationAST,
  GraphQLError,
  type GraphQLFormattedError,
  type GraphQLSchema,
  OperationTypeNode,
  parse,
  specifiedRules,
  validate,
} from 'graphql';
import type { CodeHostRecord } from '@fumehood/protocol';
import * as z from 'zod';
import { type Person, requireScope } from '../auth/people.ts';
import { listCodeHosts } from '../code-hosts/records.ts';
import { badRequest } from '../errors.ts';
import { readRepository } from '../repos/records.ts';
import { batchChangesPart } from './batch-changes.ts';
import { batchSpecsPart } from './batch-specs.ts';
import { bulkPart } from './bulk.ts';
import { changesetsPart } from './changesets.ts';
import { codePart } from './code.ts';
import { executionsPart } from './executions.ts';
import { checkLimits, queryLimits } from './limits.ts';
import { namespacesPart } from './namespaces.ts';
import { nodePart } from './node.ts';
import type { QueryContext, QueryDeps } from './part.ts';
import { sitePart } from './site.ts';
import { workspaceStepsPart } from './workspace-steps.ts';
import { workspacesPart } from './workspaces.ts';

/** The body of a request. Upstream's clients send null for what they leave out. */
export const graphqlRequestSchema = z.object({
  query: z.string().max(262_144),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().nullish(),
});
export interface GraphqlAnswer {
  readonly data?: unknown;
  readonly errors?: readonly GraphQLFormattedError[];
}

const parts = [
  ...[sitePart, namespacesPart, nodePart, codePart],
  ...[
    batchSpecsPart,
    workspacesPart,
    workspaceStepsPart,
    executionsPart,
    batchChangesPart,
    changesetsPart,
    bulkPart,
  ],
];
let built: GraphQLSchema | undefined;
/** Builds the schema for the first question: an instance that is asked nothing starts without it. */
const schemaOf = (): GraphQLSchema =>
  (built ??= buildSchema(['type Query type Mutation', ...parts.map(({ types }) => types)].join('\n')));
const rootValue = Object.assign({}, ...parts.map(({ root }) => root)) as object;

/** Errors that are answered of one request. */
const errorsMax = 20;

/**
 * Answers a request of GraphQL, also with errors. An error that is none of the request's goes to `onInternal`, and the answer does not say what it
 * is.
 */
export async function answerGraphql(
  deps: QueryDeps,
  person: Person,
  { query, variables, operationName }: z.infer<typeof graphqlRequestSchema>,
  onInternal: (error: unknown) => void,
): Promise<GraphqlAnswer> {
  const shown = (error: GraphQLError) => shownError(error, onInternal);
  let document;
  try {
    document = parse(query, { maxTokens: queryLimits.tokens, noLocation: true });
    checkLimits(document);
  } catch (error) {
    if (error instanceof GraphQLError) return { errors: [shown(error)] };
    throw error;
  }
  const schema = schemaOf();
  const mistakes = validate(schema, document, specifiedRules, { maxErrors: errorsMax });
  if (mistakes.length > 0) return { errors: mistakes.map(shown) };
  if (getOperationAST(document, operationName)?.operation === OperationTypeNode.MUTATION)
    requireScope(person, 'code:write');
  const { data, errors } = await execute({
    ...{ schema, document, rootValue, contextValue: contextOf(deps, person) },
    ...(variables && { variableValues: variables }),
    ...(operationName && { operationName }),
  });
  return {
    ...(data !== undefined && { data }),
    ...(errors && { errors: errors.slice(0, errorsMax).map(shown) }),
  };
}

function contextOf(deps: QueryDeps, person: Person): QueryContext {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn: QueryContext['inTurn'] = async (work) => {
    const mine = last.then(work);
    last = mine.catch(() => {}); // whoever asked for it gets the error
    return await mine;
  };
  let hosts: Promise<readonly CodeHostRecord[]> | null = null;
  const records = new Map<string, ReturnType<QueryContext['repository']>>();
  let outputLeft: number = queryLimits.output;
  return {
    ...{ deps, person, inTurn },
    takeOutput(characters) {
      outputLeft -= characters;
      if (outputLeft < 0)
        throw badRequest(`a request gets at most ${queryLimits.output} characters of steps and their output`);
    },
    codeHosts: () => (hosts ??= inTurn(() => listCodeHosts(deps.db))),
    repository(name) {
      const record =
        records.get(name) ??
        inTurn(async () => {
          try {
            return await readRepository(deps.db, name);
          } catch (error) {
            if (error instanceof FumehoodError && error.code === 'repository_not_found') return null;
            throw error;
          }
        });
      records.set(name, record);
      return record;
    },
  };
}

/** Returns an error as upstream's clients read it. */
function shownError(error: GraphQLError, onInternal: (error: unknown) => void): GraphQLFormattedError {
  const { originalError: cause, path } = error;
  if (cause === undefined || cause instanceof GraphQLError) return error.toJSON();
  const place = path === undefined ? {} : { path };
  if (cause instanceof FumehoodError)
    return { message: cause.message, ...place, extensions: { code: cause.code } };
  onInternal(cause);
  return { message: 'something went wrong in the instance', ...place, extensions: { code: 'internal' } };
}
