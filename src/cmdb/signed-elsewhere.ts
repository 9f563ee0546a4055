/** The error for a store whose records are signed with another key than this machine's. */
export function signedElsewhere(theirs: string, ours: string, remedy: string): string {
  return (
    `the records of this CMDB are signed with another key (${theirs}) than this machine has (${ours}): give all machines ` +
    `that share it the same cmdb.signingKey; ${remedy}`
  );
}
