/** The names of files by language, in lower case: extensions, and whole names where a language has some. */
const languages: Readonly<Record<string, { readonly extensions: string; readonly names?: string }>> = {
  bash: { extensions: 'sh bash ksh zsh', names: '\\.bashrc \\.profile' },
  c: { extensions: 'c h' },
  'c#': { extensions: 'cs csx' },
  'c++': { extensions: 'cpp cc cxx c\\+\\+ hpp hh hxx h\\+\\+ h ipp' },
  clojure: { extensions: 'clj cljs cljc edn' },
  css: { extensions: 'css' },
  dart: { extensions: 'dart' },
  dockerfile: { extensions: 'dockerfile', names: 'Dockerfile Containerfile' },
  elixir: { extensions: 'ex exs' },
  erlang: { extensions: 'erl hrl' },
  'f#': { extensions: 'fs fsi fsx' },
  go: { extensions: 'go' },
  graphql: { extensions: 'graphql gql graphqls' },
  groovy: { extensions: 'groovy gvy', names: 'Jenkinsfile' },
  haskell: { extensions: 'hs lhs' },
  hcl: { extensions: 'hcl tf tfvars nomad' },
  html: { extensions: 'html htm xhtml' },
  java: { extensions: 'java' },
  javascript: { extensions: 'js jsx mjs cjs es6' },
  json: { extensions: 'json jsonl geojson webmanifest' },
  julia: { extensions: 'jl' },
  kotlin: { extensions: 'kt kts ktm' },
  less: { extensions: 'less' },
  lua: { extensions: 'lua' },
  makefile: { extensions: 'mk mak', names: 'Makefile GNUmakefile makefile' },
  markdown: { extensions: 'md markdown mdown mkd' },
  nix: { extensions: 'nix' },
  'objective-c': { extensions: 'm h' },
  ocaml: { extensions: 'ml mli' },
  perl: { extensions: 'pl pm t' },
  php: { extensions: 'php php3 php4 php5 phtml' },
  powershell: { extensions: 'ps1 psd1 psm1' },
  'protocol buffer': { extensions: 'proto' },
  python: { extensions: 'py pyi pyw', names: 'SConstruct wscript' },
  r: { extensions: 'r rmd' },
  ruby: { extensions: 'rb rake gemspec ru', names: 'Gemfile Rakefile' },
  rust: { extensions: 'rs' },
  scala: { extensions: 'scala sc sbt' },
  scss: { extensions: 'scss' },
  sql: { extensions: 'sql' },
  starlark: { extensions: 'bzl star', names: 'BUILD BUILD\\.bazel WORKSPACE' },
  svelte: { extensions: 'svelte' },
  swift: { extensions: 'swift' },
  terraform: { extensions: 'tf tfvars' },
  toml: { extensions: 'toml' },
  typescript: { extensions: 'ts tsx mts cts' },
  vue: { extensions: 'vue' },
  xml: { extensions: 'xml xsd xsl xslt csproj' },
  yaml: { extensions: 'yml yaml' },
  zig: { extensions: 'zig' },
};
const aliases: Readonly<Record<string, string>> = {
  ...{
    cpp: 'c++',
    csharp: 'c#',
    fsharp: 'f#',
    golang: 'go',
    js: 'javascript',
    jsx: 'javascript',
    kt: 'kotlin',
  },
  ...{
    make: 'makefile',
    md: 'markdown',
    objc: 'objective-c',
    protobuf: 'protocol buffer',
    proto: 'protocol buffer',
  },
  ...{
    'protocol buffers': 'protocol buffer',
    py: 'python',
    rb: 'ruby',
    rs: 'rust',
    sh: 'bash',
    shell: 'bash',
  },
  ...{ ts: 'typescript', tsx: 'typescript', yml: 'yaml' },
};

/** Returns a regular expression for the paths of the files of a language; null: it is not known. Only names of files count, not what they have. */
export function pathsOfLanguage(name: string): string | null {
  const lower = name.toLowerCase();
  const key = Object.hasOwn(aliases, lower) ? (aliases[lower] ?? '') : lower;
  const language = Object.hasOwn(languages, key) ? languages[key] : undefined;
  if (language === undefined) return null;
  const endings = `\\.(?i:${language.extensions.replaceAll(' ', '|')})$`;
  if (language.names === undefined) return endings;
  return `(?:${endings}|(?:^|/)(?:${language.names.replaceAll(' ', '|')})$)`;
}
