// The ticket stands behind the # of the link: a browser sends that to no server, so that it is in no log on the way.
const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
const form = document.querySelector("form");
const status = document.querySelector("[role=status]");
history.replaceState(null, "", location.pathname);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { ticket: ticket ?? "", ...Object.fromEntries(new FormData(form)) };
  try {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(form.dataset.action, { method: "POST", headers, body: JSON.stringify(body) });
    status.textContent = answer.ok ? form.dataset.done : (await answer.json()).detail;
    form.hidden = answer.ok;
  } catch {
    status.textContent = "The service does not answer. Try again.";
  }
});
