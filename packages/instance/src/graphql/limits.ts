import { type DocumentNode, type FieldNode, GraphQLError, Kind, type SelectionSetNode } from 'graphql';
import { pageMax } from './pages.ts';

/**
 * Bounds of a request, with its fragments in their places. Pages of places are the only long lists, and they are below the questions about a file:
 * as nothing below those asks anything, a request asks at most `questions` times, and has at most `fields` times a page of values.
 */
export const queryLimits = {
  /** Words and signs of the text. */
  tokens: 2_000,
  /** Fields below each other. */
  depth: 25,
  fields: 300,
  aliases: 50,
  /** Fields that ask an index or git. */
  questions: 20,
  /** Of these, those that ask for each place of a page. */
  questionsOfPlaces: 0,
  /** Fields that read the log of a workspace or the queue, or lead back to its batch spec. In a list each counts for every workspace of a page. */
  details: 12,
  /** Characters of steps, and of what they have written, that a request reads and gets. */
  output: 8 * 2 ** 20,
} as const;

/** Fields that ask an index, git or the database: some of a file, and others. `repository` and others do if they have arguments. */
const ofFile: ReadonlySet<string> = new Set(['definitions', 'references', 'implementations', 'hover']);
const always: ReadonlySet<string> = new Set([
  'lsif',
  'defaultBranch',
  'externalRepository',
  'workspaces',
  'changesets',
  'bulkOperations',
]);
const withArguments: ReadonlySet<string> = new Set([
  ...['repository', 'commit', 'user', 'organization', 'node', 'resolveWorkspacesForBatchSpec'],
  ...['batchChanges', 'batchChange', 'upsertEmptyBatchChange', 'createEmptyBatchChange', 'applyBatchChange'],
  ...[
    'moveBatchChange',
    'deleteBatchChange',
    'upsertBatchSpecInput',
    'replaceBatchSpecInput',
    'deleteBatchSpec',
  ],
  ...['enqueueBatchSpecWorkspaceExecution', 'createChangesetSpecs'],
  ...['mergeChangesets', 'closeChangesets', 'createChangesetComments'],
  ...['closeBatchChange', 'publishChangesets', 'detachChangesets', 'reenqueueChangesets'],
  ...['executeBatchSpec', 'cancelBatchSpecExecution', 'retryBatchSpecExecution'],
  ...['cancelBatchSpecWorkspaceExecution', 'retryBatchSpecWorkspaceExecution'],
  ...['createBatchSpecFromRaw', 'createBatchSpec', 'createChangesetSpec'],
]);

const details: ReadonlySet<string> = new Set([
  ...[
    'batchSpec',
    'diff',
    'stages',
    'out',
    'outputLines',
    'outputVariables',
    'exitCode',
    'placeInQueue',
    'placeInGlobalQueue',
  ],
]);

type Cost = { -readonly [name in Exclude<keyof typeof queryLimits, 'tokens' | 'output'>]: number };
const nothing = (): Cost => ({
  ...{ depth: 0, fields: 0, aliases: 0, questions: 0, questionsOfPlaces: 0, details: 0 },
});

/** Checks that a request is within the bounds, before it is compared with the schema. Throws a `GraphQLError`. */
export function checkLimits({ definitions }: DocumentNode): void {
  const fragments = new Map<string, SelectionSetNode>();
  for (const one of definitions)
    if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one.selectionSet);
  const costs = new Map<string, Cost | null>();
  const costOfFragment = (name: string): Cost => {
    const known = costs.get(name);
    if (known === null) throw new GraphQLError(`the fragment ${name} contains itself`);
    if (known !== undefined) return known;
    const selections = fragments.get(name);
    if (selections === undefined) return nothing(); // the schema's check names it
    costs.set(name, null);
    const cost = costOf(selections);
    costs.set(name, cost);
    return cost;
  };
  const costOf = ({ selections }: SelectionSetNode): Cost => {
    const total = nothing();
    for (const one of selections) {
      if (one.kind === Kind.FRAGMENT_SPREAD) {
        add(total, costOfFragment(one.name.value));
        continue;
      }
      const below = one.selectionSet ? costOf(one.selectionSet) : nothing();
      add(total, one.kind === Kind.FIELD ? withField(below, one) : below);
    }
    return total;
  };
  const total = nothing();
  for (const one of definitions)
    if (one.kind === Kind.OPERATION_DEFINITION) add(total, costOf(one.selectionSet));
  for (const [name, cost] of Object.entries(total) as [keyof Cost, number][])
    if (cost > queryLimits[name])
      throw new GraphQLError(`the request is too large: ${name} ${cost}, at most ${queryLimits[name]}`);
}

/** Adds what stands beside each other: the deepest counts. */
function add(total: Cost, more: Cost): void {
  total.depth = Math.max(total.depth, more.depth);
  for (const name of ['fields', 'aliases', 'questions', 'questionsOfPlaces', 'details'] as const)
    total[name] += more[name];
}

function withField(below: Cost, { name: { value: name }, alias, arguments: given = [] }: FieldNode): Cost {
  const isQuestion = ofFile.has(name) || always.has(name) || (withArguments.has(name) && given.length > 0);
  return {
    depth: below.depth + 1,
    fields: below.fields + 1,
    aliases: below.aliases + Number(alias !== undefined),
    questions: below.questions + Number(isQuestion),
    questionsOfPlaces: ofFile.has(name) ? below.questions : below.questionsOfPlaces,
    details: (below.details + Number(details.has(name))) * (name === 'workspaces' ? pageMax : 1),
  };
}
