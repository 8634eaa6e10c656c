//! Has the kernel side hear of each of Python's code objects that is freed, so that it may remember them meanwhile.

use crate::{
    bpf::{Kernel, ProbedFile},
    python::Interpreter,
    sites::{self, Role},
    target::{Location, Modules, read_object},
    units::Pid,
};

/// Probes the function that frees them, if all that are freed go through it; else each stack reads its code objects anew, which is
/// slower and as right. Goes through the interpreter's code as a whole, once for each image.
pub(super) fn hear_of_freed(
    kernel: &mut Kernel,
    modules: &Modules,
    pid: Pid,
    interpreter: &Interpreter,
) {
    if let Err(why) = probe(kernel, modules, pid, interpreter) {
        tracing::debug!("Python's code objects are read anew for each stack: {why}");
    }
}

fn probe(
    kernel: &mut Kernel,
    modules: &Modules,
    pid: Pid,
    interpreter: &Interpreter,
) -> Result<(), String> {
    let at = interpreter.code_deallocator().ok_or("the function that frees them can't be read")?;
    let Some(Location::InModule(id, address)) = modules.find(at) else {
        return Err("the function that frees them is in no object".to_owned());
    };
    let module = modules.all().iter().find(|module| module.id == id);
    let (module, file) = module
        .and_then(|module| Some((module, module.file.as_deref()?)))
        .ok_or("the function that frees them is in no file")?;
    let object = read_object(file).map_err(|error| error.to_string())?;
    // A copy of it in a caller is passed by no probe.
    let copies = sites::bypasses(&object, &[address]).len();
    if copies > 0 {
        return Err(format!("they may be freed in {copies} places besides"));
    }
    let function = sites::target_function(&object, address, Role::Free)
        .ok_or("what frees them is not the beginning of a function")?;
    let probed = ProbedFile { file, path: &module.path, pid };
    kernel.attach_python_code(probed, function.site.offset).map_err(|error| error.to_string())
}
