/* Sorts the rows by the column whose heading is clicked on; failed clips stay last. */
(function(){
  var table=document.getElementById("clips"), body=table.tBodies[0], heads=table.tHead.rows[0].cells;
  function key(row, at){
    var cell=row.cells[at];
    if(!cell||cell.colSpan>1) return null;
    var v=cell.getAttribute("data-v");
    return v===null ? cell.textContent.toLowerCase() : parseFloat(v);
  }
  Array.prototype.forEach.call(heads, function(head, at){
    if(head.firstElementChild) return;
    var button=document.createElement("button");
    button.type="button";
    button.textContent=head.textContent;
    head.textContent="";
    head.appendChild(button);
    button.addEventListener("click", function(){
      var down=head.getAttribute("aria-sort")==="ascending";
      Array.prototype.forEach.call(heads, function(h){ h.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      Array.prototype.slice.call(body.rows).sort(function(a, b){
        var x=key(a, at), y=key(b, at);
        if(x===null||y===null) return (x===null)-(y===null);
        var d=typeof x==="number"&&typeof y==="number" ? x-y : String(x).localeCompare(String(y));
        return down ? -d : d;
      }).forEach(function(row){ body.appendChild(row); });
    });
  });
})();
