"""3D Slicer module: segment kidneys, tumors and cysts of a CT volume with renalis.

The program runs as a process of its own, in an environment of its own; nothing is installed into
3D Slicer. Research software, not for diagnosis.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import qt
import slicer
from RenalisLib.command_line import (
    command,
    environment,
    find_program,
    segmentation_of,
    sentence_of,
)
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)

PROGRAM = "Renalis/program"


class Renalis(ScriptedLoadableModule):
    """How the module is listed."""

    def __init__(self, parent) -> None:
        super().__init__(parent)
        parent.title = "Renalis"
        parent.categories = ["Segmentation"]
        parent.contributors = ["The renalis developers"]
        parent.helpText = (
            "Segments kidneys, tumors and cysts of a CT volume with the program renalis, which has "
            "to be installed in an environment of its own. Research software, not for diagnosis."
        )


class RenalisWidget(ScriptedLoadableModuleWidget):
    """Volume, program, a button."""

    def setup(self) -> None:
        super().setup()
        form = qt.QFormLayout()
        self.volume = slicer.qMRMLNodeComboBox()
        self.volume.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self.volume.addEnabled = self.volume.removeEnabled = False
        self.volume.setMRMLScene(slicer.mrmlScene)
        form.addRow("CT volume", self.volume)
        self.program = qt.QLineEdit(qt.QSettings().value(PROGRAM, ""))
        self.program.placeholderText = "renalis, if it is on the search path"
        form.addRow("Program", self.program)
        self.fast = qt.QCheckBox("faster, a little less good")
        form.addRow("", self.fast)
        self.button = qt.QPushButton("Segment")
        self.button.clicked.connect(self.segment)
        form.addRow(self.button)
        form.addRow(qt.QLabel("Research software, not for diagnosis."))
        self.layout.addLayout(form)
        self.layout.addStretch(1)

    def segment(self) -> None:
        """Run, and show the segmentation."""
        node = self.volume.currentNode()
        if node is None:
            slicer.util.warningDisplay("Choose a CT volume first.")
            return
        qt.QSettings().setValue(PROGRAM, self.program.text)
        with slicer.util.tryWithErrorDisplay(
            "renalis could not segment the volume", waitCursor=True
        ):
            found = RenalisLogic().segment(node, self.program.text, fast=self.fast.checked)
            if found is None:
                slicer.util.infoDisplay("No kidney, no tumor and no cyst was found.")


class RenalisLogic(ScriptedLoadableModuleLogic):
    """Volume to file, program, file to segmentation."""

    def segment(self, node, program: str = "", *, fast: bool = False):
        """The new segmentation node; None if nothing was found.

        Raises
        ------
        RuntimeError
            With what the program said, if it failed.
        """
        path = find_program(program)
        if not path:
            raise RuntimeError("renalis was not found; give the path of the program")
        with tempfile.TemporaryDirectory() as folder:
            scan, output = Path(folder) / "scan.nii.gz", Path(folder) / "out"
            slicer.util.saveNode(node, str(scan))
            done = subprocess.run(
                command(path, scan, output, fast=fast),
                capture_output=True,
                text=True,
                env=environment(),
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(sentence_of(done.stderr))
            file = segmentation_of(output)
            if file is None:
                return None
            found = slicer.util.loadSegmentation(str(file))
        found.SetName(f"{node.GetName()} kidneys")
        found.SetReferenceImageGeometryParameterFromVolumeNode(node)
        found.CreateClosedSurfaceRepresentation()
        return found
