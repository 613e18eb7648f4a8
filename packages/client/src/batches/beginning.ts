/** Returns a batch spec that appends a line to each README. */
export function batchSpecBeginning(name: string): string {
  return `name: ${JSON.stringify(name)}
description: Say hello in every README

# Which repositories: one by one, or all that a query finds.
on:
  - repositoriesMatchingQuery: file:^README\\.md$

# What happens in each of them. A step runs in a fresh microVM without a network.
steps:
  - run: echo Hello >> README.md
    container: alpine:3

# What becomes of the changes.
changesetTemplate:
  title: Say hello
  body: This adds a greeting.
  branch: hello
  commit:
    message: Say hello
  # Whether it is published. Without this line \`fumehood batches publish\` decides; \`draft\` opens drafts.
  # published: true
`;
}
