// What scrolls sideways can be reached by the keyboard.
document$.subscribe(() => {
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap, pre > code")) wrap.tabIndex = 0;
});
