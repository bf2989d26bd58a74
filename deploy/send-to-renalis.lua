-- Orthanc sends each abdominal CT series to renalis when nothing more of it came for a while
-- ("StableAge" in Orthanc's configuration, 60 s unless set).
function OnStableSeries(seriesId, tags, metadata)
  if tags['Modality'] == 'CT' and metadata['RemoteAET'] ~= 'RENALIS' then
    local body = string.lower(tags['BodyPartExamined'] or '')
    if body == '' or string.find(body, 'abd') or string.find(body, 'kidney') then
      -- All of it in one association; SendToModality takes single instances alone.
      RestApiPost('/modalities/renalis/store', seriesId)
    end
  end
end
