import type { CommitFiles } from './files.ts';
import type { PlannedJob } from './spec.ts';

/** Languages whose index can be inferred. */
export const languages = ['go', 'java', 'python', 'ruby', 'rust', 'typescript', 'dotnet'] as const;
export type Language = (typeof languages)[number];
/** The container image of each language's indexer. */
export type IndexerImages = Readonly<Record<Language, string>>;

/** Upstream's images of indexers. */
export const defaultIndexerImages: IndexerImages = {
  go: 'sourcegraph/scip-go',
  java: 'sourcegraph/scip-java',
  python: 'sourcegraph/scip-python',
  ruby: 'sourcegraph/scip-ruby',
  rust: 'sourcegraph/scip-rust',
  typescript: 'sourcegraph/scip-typescript',
  dotnet: 'sourcegraph/scip-dotnet',
};

/** Finds the projects of one language in a commit. */
export interface Recognizer {
  readonly language: Language;
  /** Returns the paths of files whose contents decide. */
  contentPaths(paths: readonly string[]): string[];
  /** Returns the jobs that index this language's projects, whose steps run in `image` unless they need another one. */
  jobs(files: CommitFiles, image: string): PlannedJob[];
}

/** The last local step of indexers that run on Node: it lets the heap have the memory of the VM. */
export const nodeMemory =
  'if [ -n "${VM_MEM_MB:-}" ]; then export NODE_OPTIONS="--max-old-space-size=$VM_MEM_MB"; fi';
