/** No timer of the rooms keeps the process alive; while it ends in good order, this does. */
export async function keepAlive(work: Promise<void>): Promise<void> {
  const alive = setInterval(() => {}, 1_000);
  try {
    await work;
  } finally {
    clearInterval(alive);
  }
}
