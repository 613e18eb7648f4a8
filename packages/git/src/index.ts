export type { TreeEntry } from './commit-tree.ts';
export { checkTree, pathChecker, readTree } from './commit-tree.ts';
export { repositoryInvalid } from './errors.ts';
export type { CommitPack, Repository } from './repository.ts';
export {
  gitCommands,
  gitEnvironment,
  makeRepository,
  packFiles,
  packMax,
  readTreeUse,
} from './repository.ts';
