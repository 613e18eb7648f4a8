import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { grepFiles, mirrorOf, readPaths } from '../../repos/commit-files.ts';
import { revisionNotFound, repositoryNotFound } from '../../repos/errors.ts';
import type { Mirrors } from '../../repos/mirrors.ts';
import type { ContentCondition } from './query.ts';

/** A branch of a repository as of now. */
export interface Branch {
  readonly repository: string;
  /** `refs/heads/…`. */
  readonly branch: string;
  readonly commit: string;
  /** Whether changes can be brought to where the repository comes from. */
  readonly isSupported: boolean;
}

/** The repositories in which batch specs change something. */
export interface Catalog {
  /** Returns the default branches of all repositories, by the repositories' names. */
  defaultBranches(): Promise<readonly Branch[]>;
  /** Returns a branch of a repository, with or without `refs/heads/`; null: the default one. Errors: `repository_not_found`, `revision_not_found`. */
  branch(repository: string, name: string | null): Promise<Branch>;
  /** Returns the paths of the files of a commit. */
  paths(at: Branch): Promise<readonly string[]>;
  /** Returns the paths of the text files of a commit that have a text. */
  grep(at: Branch, content: ContentCondition, isCaseSensitive: boolean): Promise<readonly string[]>;
}

interface Row {
  readonly repository: string;
  readonly branch: string | null;
  readonly commit: string | null;
  readonly isSupported: boolean;
}

/** Returns the catalog of the repositories that the instance mirrors. One whose history clients send is not supported: nothing can be pushed there. */
export function mirrorCatalog(db: Db, mirrors: Mirrors): Catalog {
  const columns = sql`repositories.name as repository, ref.name as branch, ref.commit, url is not null as "isSupported"`;
  return {
    async defaultBranches() {
      const { rows } = await sql<Branch>`
        select ${columns} from repositories join repository_refs ref on repository_id = repositories.id and ref.name = head
        where ref.commit is not null order by repositories.name collate "C"
      `.execute(db);
      return rows;
    },
    async branch(repository, name) {
      const full = name === null ? null : name.startsWith('refs/heads/') ? name : `refs/heads/${name}`;
      const { rows } = await sql<Row>`
        select ${columns} from repositories
          left join repository_refs ref on repository_id = repositories.id and ref.name = coalesce(${full}::text, head)
        where repositories.name = ${repository}
      `.execute(db);
      const [found] = rows;
      if (!found) throw repositoryNotFound(repository);
      const { branch, commit } = found;
      if (branch === null || commit === null)
        throw revisionNotFound(`${name ?? 'on its default branch'} (${repository})`);
      return { ...found, branch, commit };
    },
    async paths({ repository, commit }) {
      return await readPaths(await mirrorOf(db, mirrors, repository), commit);
    },
    async grep({ repository, commit }, content, isCaseSensitive) {
      return await grepFiles(await mirrorOf(db, mirrors, repository), commit, {
        ...content,
        isCaseSensitive,
      });
    },
  };
}
