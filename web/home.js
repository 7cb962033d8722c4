// The first page: takes a stream's id to its watch page. It knows nothing of what is live.

const form = document.querySelector("#watch");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(`/watch/${encodeURIComponent(form.elements.uid.value.trim())}`);
});

document.querySelector("#rtmp").textContent = `rtmp://${location.hostname}:1935/live`;
