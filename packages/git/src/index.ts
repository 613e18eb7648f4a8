export type { TreeEntry } from './commit-tree.ts';
export { checkTree, pathChecker, readTree } from './commit-tree.ts';
export type { DiffLimits, FileDiff } from './diff/read.ts';
export { diffLimits, readDiff } from './diff/read.ts';
export type { DiffGroup } from './diff/split.ts';
export { splitDiff } from './diff/split.ts';
export { gitProtocol, remoteRefused, repositoryInvalid } from './errors.ts';
export type { Mirror, MirrorRefs } from './mirror.ts';
export { exportCommit, makeMirror, mirrorCommands, openMirror } from './mirror.ts';
export type { Packet } from './packet-lines.ts';
export { delimiterPacket, flushPacket, packBytes, packetLine, readPackets } from './packet-lines.ts';
export type { BuiltCommit, CommitChange } from './push/commit.ts';
export { buildCommit, commitCommands } from './push/commit.ts';
export type { BranchPush } from './push/push.ts';
export { pushBranch, pushedRefs } from './push/push.ts';
export type { RemoteHttp, RemoteRefs } from './remote.ts';
export { fetchHistory, isRefName, listRefs, refsMax } from './remote.ts';
export type { CommitPack, Repository } from './repository.ts';
export {
  gitCommands,
  gitEnvironment,
  makeRepository,
  packFiles,
  packMax,
  readTreeUse,
} from './repository.ts';
