import {
  codeFileQuerySchema,
  type CodeLocation,
  type CodeLocations,
  codePageMax,
  type CodeRange,
  isStorable,
  revisionSchema,
  storedRepositorySchema,
} from '@fumehood/protocol';
import { hostOfUrl } from '../code-hosts/host-of-url.ts';
import { findDefinitions, findHover, findImplementations, findReferences } from '../codeintel/answers.ts';
import { scopeOf } from '../codeintel/scope.ts';
import { hasUploads } from '../codeintel/sql/uploads.ts';
import { badRequest } from '../errors.ts';
import { commitOf } from '../repos/commit-files.ts';
import { idOf } from './ids.ts';
import { orNull } from './or-null.ts';
import type { QueryContext, SchemaPart } from './part.ts';

interface Place {
  readonly line: number;
  readonly character: number;
}
interface Page extends Place {
  readonly first?: number | null;
  readonly after?: string | null;
}

/** Code intelligence by the fields of upstream. Lines and characters count from 0. */
export const codePart: SchemaPart = {
  types: `
    extend type Query {
      "A repository of the instance; null: it has none of this name."
      repository(name: String!): Repository
    }
    type Repository {
      id: ID!
      name: String!
      url: String!
      externalRepository: ExternalRepository!
      "Null before the first sync."
      defaultBranch: GitRef
      "Null: no branch, tag or commit has this name. An empty one stands for the default branch."
      commit(rev: String!): GitCommit
    }
    "Where a repository is: github, gitlab, gitea, or other for a plain git remote."
    type ExternalRepository { serviceType: String! }
    type GitRef { name: String!, target: GitObject! }
    type GitObject { oid: String! }
    type GitCommit { id: ID!, oid: String!, url: String!, repository: Repository!, blob(path: String!): GitBlob }
    type GitBlob {
      path: String!
      name: String!
      url: String!
      repository: Repository!
      commit: GitCommit!
      "What the index of this commit, or of the nearest earlier one, says; null: no index covers the file."
      lsif: GitBlobLSIFData
    }
    type GitBlobLSIFData {
      definitions(line: Int!, character: Int!): LocationConnection!
      references(line: Int!, character: Int!, first: Int, after: String): LocationConnection!
      implementations(line: Int!, character: Int!, first: Int, after: String): LocationConnection!
      hover(line: Int!, character: Int!): Hover
    }
    type LocationConnection { nodes: [Location!]!, pageInfo: PageInfo! }
    type PageInfo { endCursor: String, hasNextPage: Boolean! }
    type Location { url: String!, canonicalURL: String!, resource: GitBlob!, range: Range }
    type Range { start: Position!, end: Position! }
    type Position { line: Int!, character: Int! }
    type Hover { markdown: Markdown!, range: Range! }
    type Markdown { text: String! }
  `,
  root: {
    async repository({ name }: { readonly name: string }, context) {
      if (!storedRepositorySchema.safeParse(name).success) return null;
      const isKnown =
        (await context.repository(name)) !== null ||
        (await context.inTurn(() => hasUploads(context.deps.db, name)));
      return isKnown ? repositoryNode(name) : null;
    },
  },
};

const encoded = (path: string) => path.split('/').map(encodeURIComponent).join('/');

/** Makes the node of a repository, which there need not be. */
export function repositoryNode(name: string) {
  return {
    ...{ id: idOf('Repository', name), name, url: `/${encoded(name)}` },
    async externalRepository(_: unknown, context: QueryContext) {
      const record = await context.repository(name);
      const hosted = record?.url ? hostOfUrl(await context.codeHosts(), record.url) : null;
      return { serviceType: hosted?.host.kind ?? 'other' };
    },
    async defaultBranch(_: unknown, context: QueryContext) {
      const record = await context.repository(name);
      if (!record?.branch || record.commit === null) return null;
      return { name: record.branch, target: { oid: record.commit } };
    },
    async commit({ rev }: { readonly rev: string }, { deps, inTurn }: QueryContext) {
      if (rev !== '' && !revisionSchema.safeParse(rev).success) return null;
      const oid = await inTurn(() =>
        orNull(commitOf(deps, name, rev === '' ? null : rev), 'revision_not_found', 'repository_not_found'),
      );
      return oid === null ? null : commitNode(name, oid);
    },
  };
}

function commitNode(name: string, oid: string) {
  return {
    ...{ id: idOf('GitCommit', name, oid), oid, url: `/${encoded(name)}/-/commit/${oid}` },
    repository: () => repositoryNode(name),
    blob: ({ path }: { readonly path: string }) => blobNode(name, oid, path),
  };
}

function blobNode(repository: string, oid: string, path: string) {
  return {
    ...{ path, name: path.split('/').at(-1) ?? path, url: blobUrl(repository, oid, path) },
    repository: () => repositoryNode(repository),
    commit: () => commitNode(repository, oid),
    async lsif(_: unknown, { deps, inTurn }: QueryContext) {
      const file = { repository, revision: oid, path };
      if (!codeFileQuerySchema.safeParse(file).success || !isStorable(path))
        throw badRequest('`path` is not the path of a file');
      const scope = await inTurn(() => scopeOf(deps, file));
      return 'answer' in scope ? lsifNode(file) : null;
    },
  };
}

const blobUrl = (repository: string, oid: string, path: string) =>
  `/${encoded(repository)}@${oid}/-/blob/${encoded(path)}`;

/** Makes the questions about a file. A place that changed since the indexed commit has no answer: upstream's clients search themselves then. */
function lsifNode(file: { readonly repository: string; readonly revision: string; readonly path: string }) {
  const places = (find: typeof findReferences) => async (page: Page, context: QueryContext) => {
    const { deps, inTurn } = context;
    const { first, after } = page;
    const limit = first ?? 100;
    if (limit < 1 || limit > codePageMax) throw badRequest(`\`first\` is from 1 to ${codePageMax}`);
    const asked = { ...file, ...placeOf(page), limit, ...(after != null && { after }) };
    return connectionOf(await inTurn(() => orNull(find(deps, asked), 'not_indexed')));
  };
  return {
    definitions: places(findDefinitions),
    references: places(findReferences),
    implementations: places(findImplementations),
    async hover(place: Place, { deps, inTurn }: QueryContext) {
      const asked = { ...file, ...placeOf(place) };
      const found = await inTurn(() => orNull(findHover(deps, asked), 'not_indexed'));
      const hover = found?.hover ?? null;
      return hover && { markdown: { text: hover.text }, range: rangeOf(hover.range) };
    },
  };
}

function placeOf({ line, character }: Place): Place {
  if (line < 0 || character < 0) throw badRequest('`line` and `character` count from 0');
  return { line, character };
}

function connectionOf(found: CodeLocations | null) {
  const { locations, next } =
    found === null || found.precision === 'guess' ? { locations: [], next: null } : found;
  return { nodes: locations.map(locationNode), pageInfo: { endCursor: next, hasNextPage: next !== null } };
}

function locationNode({ repository, commit, path, ...range }: CodeLocation) {
  const { line, character, endLine, endCharacter } = range;
  const place = `L${line + 1}:${character + 1}-${endLine + 1}:${endCharacter + 1}`;
  const url = `${blobUrl(repository, commit, path)}?${place}`;
  return { url, canonicalURL: url, resource: blobNode(repository, commit, path), range: rangeOf(range) };
}

const rangeOf = ({ line, character, endLine, endCharacter }: CodeRange) => ({
  start: { line, character },
  end: { line: endLine, character: endCharacter },
});
