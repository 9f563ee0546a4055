import { linkSync } from 'node:fs';
import { link } from 'node:fs/promises';

/**
 * Gives a finished file a further name, by a hard link: the name appears with all that the file holds or not at all, and of several
 * processes one gets it. False if it is taken.
 */
export async function claimName(file: string, name: string): Promise<boolean> {
  try {
    await link(file, name);
    return true;
  } catch (error) {
    return refuseUnlessTaken(error);
  }
}

/** As `claimName`, for what must be done before anything else runs. */
export function claimNameSync(file: string, name: string): boolean {
  try {
    linkSync(file, name);
    return true;
  } catch (error) {
    return refuseUnlessTaken(error);
  }
}

function refuseUnlessTaken(error: unknown): false {
  if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
  throw error;
}
